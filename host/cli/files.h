// Files that verbs of the program's own write: keys, certificates, tokens.
#ifndef IMCTL_HOST_CLI_FILES_H
#define IMCTL_HOST_CLI_FILES_H

#include <sys/types.h>

#include <string>
#include <string_view>

#include "imctl/status.h"

namespace imctl::host::cli {

// An open file, closed at the end.
class File {
 public:
  explicit File(int fd) : fd_(fd) {}
  File(const File&) = delete;
  File& operator=(const File&) = delete;
  ~File();
  int get() const { return fd_; }

 private:
  int fd_;
};

// NOT_FOUND, ALREADY_EXISTS or FAILED_PRECONDITION.
Status file_error(const std::string& path, int error);

// ALREADY_EXISTS if there is one. It is on the disk, or not there at all.
Status create_file(const std::string& path, mode_t mode, std::string_view text);

// There is the old one or the new one, never half of one.
Status replace_file(const std::string& path, mode_t mode, std::string_view text);

}  // namespace imctl::host::cli

#endif  // IMCTL_HOST_CLI_FILES_H
