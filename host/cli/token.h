// The token that proves who we are.
#ifndef IMCTL_HOST_CLI_TOKEN_H
#define IMCTL_HOST_CLI_TOKEN_H

#include <string>

#include "imctl/status.h"

namespace imctl::host::cli {

// What is in the file, without the line's end; empty if no file is named. The error names the file.
Result<std::string> read_token(const std::string& file);

}  // namespace imctl::host::cli

#endif  // IMCTL_HOST_CLI_TOKEN_H
