#include "disk.h"

#include <fcntl.h>
#include <linux/fs.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <random>
#include <utility>

namespace imctl::backup {
namespace {

namespace fs = std::filesystem;
constexpr std::string_view kUnfinished = ".part";

Status write_all(int fd, const std::string& path, std::string_view bytes) {
  while (!bytes.empty()) {
    const ssize_t n = ::write(fd, bytes.data(), bytes.size());
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return disk_error(path, errno);
    bytes.remove_prefix(static_cast<size_t>(n));
  }
  return {};
}

Status sync_folder_of(const std::string& path) {
  const std::string folder = fs::path(path).parent_path();
  const int fd = ::open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (fd < 0) return disk_error(folder, errno);
  const int error = ::fsync(fd) == 0 ? 0 : errno;
  ::close(fd);
  return error == 0 ? Status() : disk_error(folder, error);
}

}  // namespace

Status disk_error(const std::string& path, int error) {
  imctl_code code = IMCTL_FAILED_PRECONDITION;
  if (error == ENOSPC || error == EDQUOT || error == EFBIG) code = IMCTL_RESOURCE_EXHAUSTED;
  if (error == ENOENT) code = IMCTL_NOT_FOUND;
  if (error == EEXIST) code = IMCTL_ALREADY_EXISTS;
  return {code, path + ": " + ::strerror(error)};
}

Status make_folder(const std::string& path) {
  std::error_code error;
  if (fs::is_directory(path, error)) return {};
  fs::create_directories(path, error);
  if (error) return disk_error(path, error.value());
  fs::permissions(path, fs::perms::owner_all, error);
  return sync_folder_of(path);
}

Status remove_file(const std::string& path) {
  if (::unlink(path.c_str()) != 0) return disk_error(path, errno);
  return sync_folder_of(path);
}

NewFile::NewFile(int fd, std::string temporary, std::string path)
    : fd_(fd), temporary_(std::move(temporary)), path_(std::move(path)) {}

Result<std::unique_ptr<NewFile>> NewFile::create(const std::string& path) {
  if (fs::exists(fs::symlink_status(path))) return disk_error(path, EEXIST);
  const fs::path full(path);
  // Hidden, and of no name that a backup has.
  std::string temporary =
      full.parent_path() / ("." + full.filename().string() + ".XXXXXX" + std::string(kUnfinished));
  const int fd = ::mkostemps(temporary.data(), kUnfinished.size(), O_CLOEXEC);
  if (fd < 0) return disk_error(path, errno);
  ::flock(fd, LOCK_EX | LOCK_NB);
  return std::unique_ptr<NewFile>(new NewFile(fd, std::move(temporary), path));
}

NewFile::~NewFile() {
  if (!committed_) ::unlink(temporary_.c_str());
  ::close(fd_);
}

Status NewFile::write(std::string_view bytes) { return write_all(fd_, path_, bytes); }

Status NewFile::commit() {
  if (::fsync(fd_) != 0) return disk_error(path_, errno);
  int done = ::renameat2(AT_FDCWD, temporary_.c_str(), AT_FDCWD, path_.c_str(), RENAME_NOREPLACE);
  // Some file systems know no such flag.
  if (done != 0 && errno == EINVAL) {
    done = ::link(temporary_.c_str(), path_.c_str());
    if (done == 0) ::unlink(temporary_.c_str());
  }
  if (done != 0) return disk_error(path_, errno);
  committed_ = true;
  return sync_folder_of(path_);
}

void remove_unfinished(const std::string& folder) {
  std::error_code error;
  for (const auto& entry : fs::directory_iterator(folder, error)) {
    const std::string name = entry.path().filename();
    if (!name.starts_with(".") || !name.ends_with(kUnfinished)) continue;
    const int fd = ::open(entry.path().c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    if (fd < 0) continue;
    if (::flock(fd, LOCK_EX | LOCK_NB) == 0) ::unlink(entry.path().c_str());
    ::close(fd);
  }
}

Result<std::unique_ptr<Scratch>> Scratch::create(const std::string& folder) {
  std::string path = folder + "/.scratch.XXXXXX" + std::string(kUnfinished);
  const int fd = ::mkostemps(path.data(), kUnfinished.size(), O_CLOEXEC);
  if (fd < 0) return disk_error(folder, errno);
  ::unlink(path.c_str());
  return std::unique_ptr<Scratch>(new Scratch(fd));
}

Scratch::~Scratch() { ::close(fd_); }

Status Scratch::write(std::string_view bytes) {
  size_ += bytes.size();
  return write_all(fd_, "a temporary file", bytes);
}

Result<std::shared_ptr<Source>> Scratch::read() const {
  return open_file("/proc/self/fd/" + std::to_string(fd_));
}

Result<std::string> read_small(const std::string& path) {
  Result<std::shared_ptr<Source>> source = open_file(path);
  if (!source.ok()) return source.status();
  std::string bytes((*source)->size(), '\0');
  if (Status status = (*source)->read(0, bytes.data(), bytes.size()); !status.ok()) return status;
  return bytes;
}

Status replace_small(const std::string& path, std::string_view bytes) {
  std::error_code error;
  const fs::path full(path);
  std::string temporary =
      full.parent_path() / ("." + full.filename().string() + ".XXXXXX" + std::string(kUnfinished));
  const int fd = ::mkostemps(temporary.data(), kUnfinished.size(), O_CLOEXEC);
  if (fd < 0) return disk_error(path, errno);
  Status status = write_all(fd, path, bytes);
  if (status.ok() && ::fsync(fd) != 0) status = disk_error(path, errno);
  ::close(fd);
  if (status.ok() && ::rename(temporary.c_str(), path.c_str()) != 0) {
    status = disk_error(path, errno);
  }
  if (!status.ok()) {
    ::unlink(temporary.c_str());
    return status;
  }
  return sync_folder_of(path);
}

}  // namespace imctl::backup
