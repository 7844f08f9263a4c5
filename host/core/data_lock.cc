#include "core/data_lock.h"

#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <utility>

namespace imctl::host {

Status DataLock::take(const std::string& data_dir) {
  namespace fs = std::filesystem;
  std::error_code error;
  bool made = fs::create_directories(data_dir, error);
  if (!error && made) fs::permissions(data_dir, fs::perms::owner_all, error);
  if (error) {
    return {IMCTL_FAILED_PRECONDITION, "the data folder " + data_dir + " cannot be made: " +
                                           error.message() + " (host.data names it)"};
  }
  std::string path = data_dir + "/lock";
  int fd = open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600);
  if (fd < 0) {
    return {IMCTL_FAILED_PRECONDITION,
            path + ": " + std::strerror(errno) +
                " (host.data names the folder; may this user write there?)"};
  }
  if (flock(fd, LOCK_EX | LOCK_NB) != 0) {
    std::array<char, 32> holder{};
    ssize_t n = pread(fd, holder.data(), holder.size() - 1, 0);
    close(fd);
    std::string who = n > 0 ? "process " + std::string(holder.data(), strcspn(holder.data(), "\n"))
                            : "another process";
    return {IMCTL_FAILED_PRECONDITION,
            "a host is running on the data folder " + data_dir + " already (" + who +
                "): leave out --embedded to talk to it, stop it first, or name another folder with "
                "--set host.data=DIR"};
  }
  std::string pid = std::to_string(getpid()) + "\n";
  if (ftruncate(fd, 0) != 0 || pwrite(fd, pid.data(), pid.size(), 0) < 0) {
    // Only for the words above; the lock holds all the same (the disk may be full).
  }
  fd_ = fd;
  return {};
}

void DataLock::release() {
  if (fd_ >= 0) close(std::exchange(fd_, -1));
}

}  // namespace imctl::host
