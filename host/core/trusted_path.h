// The way to a file, if nobody but root and this process's user can put another one in its place.
#ifndef IMCTL_HOST_CORE_TRUSTED_PATH_H
#define IMCTL_HOST_CORE_TRUSTED_PATH_H

#include <string>

#include "core/fd.h"
#include "imctl/status.h"

namespace imctl::host {

struct TrustedFile {
  Fd file;           // O_PATH
  Fd folder;         // O_PATH
  std::string path;  // where every link has led
};

// Looks at every folder and link that the path passes through, up to /, and at the file. Any
// thread. Errors name what is not trusted and the command that mends it: NOT_FOUND if there is no
// such file, FAILED_PRECONDITION.
Result<TrustedFile> find_trusted(const std::string& path);

}  // namespace imctl::host

#endif  // IMCTL_HOST_CORE_TRUSTED_PATH_H
