// A descriptor of a file, closed with its object; and what to say of a file that has none.
#ifndef IMCTL_HOST_CORE_FD_H
#define IMCTL_HOST_CORE_FD_H

#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <string>
#include <utility>

#include "imctl/status.h"

namespace imctl::host {

class Fd {
 public:
  explicit Fd(int fd = -1) : fd_(fd) {}
  Fd(Fd&& other) noexcept : fd_(other.release()) {}
  Fd& operator=(Fd&& other) noexcept {
    std::swap(fd_, other.fd_);
    return *this;
  }
  ~Fd() {
    if (fd_ >= 0) close(fd_);
  }
  bool ok() const { return fd_ >= 0; }
  int get() const { return fd_; }
  int release() { return std::exchange(fd_, -1); }

 private:
  int fd_;
};

// `error`: an errno. NOT_FOUND if there is no such file, else FAILED_PRECONDITION.
inline Status cannot(const std::string& path, int error) {
  return {error == ENOENT || error == ENOTDIR ? IMCTL_NOT_FOUND : IMCTL_FAILED_PRECONDITION,
          path + ": " + std::strerror(error)};
}

// The file behind a descriptor, to open it anew.
inline std::string own_path(int fd) { return "/proc/self/fd/" + std::to_string(fd); }

}  // namespace imctl::host

#endif  // IMCTL_HOST_CORE_FD_H
