// Values that must not stand on a command line, where every process can read them.
#ifndef IMCTL_HOST_CLI_SECRET_H
#define IMCTL_HOST_CLI_SECRET_H

#include <string>

#include "imctl/status.h"

namespace imctl::host::cli {

// `how`: empty, ask on the terminal without echo; "-", a line of standard input; "@FILE", the file
// without the line's end. Anything else is refused, and not repeated in the message.
Result<std::string> read_secret(const std::string& label, const std::string& how);

}  // namespace imctl::host::cli

#endif  // IMCTL_HOST_CLI_SECRET_H
