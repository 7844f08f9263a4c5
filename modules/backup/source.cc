#include "source.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <utility>

namespace imctl::backup {
namespace {

class FileSource final : public Source {
 public:
  FileSource(int fd, uint64_t size, std::string path)
      : fd_(fd), size_(size), path_(std::move(path)) {}
  ~FileSource() override { ::close(fd_); }
  uint64_t size() const override { return size_; }
  Status read(uint64_t offset, char* to, size_t count) const override {
    while (count > 0) {
      const ssize_t n = ::pread(fd_, to, count, static_cast<off_t>(offset));
      if (n < 0 && errno == EINTR) continue;
      if (n < 0) return {IMCTL_UNAVAILABLE, path_ + ": cannot be read: " + ::strerror(errno)};
      if (n == 0) return {IMCTL_DATA_LOSS, path_ + " became shorter while it was read"};
      to += n;
      offset += static_cast<uint64_t>(n);
      count -= static_cast<size_t>(n);
    }
    return {};
  }

 private:
  const int fd_;
  const uint64_t size_;
  const std::string path_;
};

class MemorySource final : public Source {
 public:
  explicit MemorySource(std::string bytes) : bytes_(std::move(bytes)) {}
  uint64_t size() const override { return bytes_.size(); }
  Status read(uint64_t offset, char* to, size_t count) const override {
    if (offset > bytes_.size() || count > bytes_.size() - offset) {
      return {IMCTL_DATA_LOSS, "the file became shorter while it was read"};
    }
    std::memcpy(to, bytes_.data() + offset, count);
    return {};
  }

 private:
  const std::string bytes_;
};

}  // namespace

Result<std::shared_ptr<Source>> open_file(const std::string& path) {
  const int fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (fd < 0) {
    return Status(errno == ENOENT ? IMCTL_NOT_FOUND : IMCTL_FAILED_PRECONDITION,
                  path + ": " + ::strerror(errno));
  }
  struct stat info {};
  if (::fstat(fd, &info) != 0 || !S_ISREG(info.st_mode)) {
    ::close(fd);
    return Status(IMCTL_FAILED_PRECONDITION, path + " is no regular file");
  }
  ::posix_fadvise(fd, 0, 0, POSIX_FADV_SEQUENTIAL);
  return std::shared_ptr<Source>(
      std::make_shared<FileSource>(fd, static_cast<uint64_t>(info.st_size), path));
}

std::shared_ptr<Source> memory_source(std::string bytes) {
  return std::make_shared<MemorySource>(std::move(bytes));
}

}  // namespace imctl::backup
