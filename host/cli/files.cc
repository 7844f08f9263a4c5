#include "cli/files.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <cstring>

namespace imctl::host::cli {
namespace {

Status write_all(int fd, const std::string& path, std::string_view text) {
  while (!text.empty()) {
    ssize_t n = ::write(fd, text.data(), text.size());
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return file_error(path, errno);
    text.remove_prefix(static_cast<size_t>(n));
  }
  return ::fsync(fd) == 0 ? Status() : file_error(path, errno);
}

}  // namespace

File::~File() {
  if (fd_ >= 0) ::close(fd_);
}

Status file_error(const std::string& path, int error) {
  imctl_code code = error == ENOENT   ? IMCTL_NOT_FOUND
                    : error == EEXIST ? IMCTL_ALREADY_EXISTS
                                      : IMCTL_FAILED_PRECONDITION;
  return {code, path + ": " + ::strerror(error)};
}

Status create_file(const std::string& path, mode_t mode, std::string_view text) {
  File file(::open(path.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, mode));
  if (file.get() < 0) return file_error(path, errno);
  Status status = write_all(file.get(), path, text);
  if (!status.ok()) ::unlink(path.c_str());
  return status;
}

Status replace_file(const std::string& path, mode_t mode, std::string_view text) {
  std::string temporary = path + ".XXXXXX";
  File file(::mkostemp(temporary.data(), O_CLOEXEC));
  if (file.get() < 0) return file_error(path, errno);
  Status status = write_all(file.get(), path, text);
  if (status.ok() &&
      (::fchmod(file.get(), mode) != 0 || ::rename(temporary.c_str(), path.c_str()) != 0)) {
    status = file_error(path, errno);
  }
  if (!status.ok()) ::unlink(temporary.c_str());
  return status;
}

}  // namespace imctl::host::cli
