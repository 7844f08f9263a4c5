// How the program ends, for scripts. Documented in docs/command-line.md.
#ifndef IMCTL_HOST_CLI_EXIT_CODE_H
#define IMCTL_HOST_CLI_EXIT_CODE_H

#include <string_view>

#include "imctl/status.h"

namespace imctl::host::cli {

enum ExitCode : int {
  kDone = 0,
  kFailed = 1,
  kUsage = 2,
  kNotFound = 3,
  kDenied = 4,
  kUnreachable = 5,
  kConflict = 6,
  kDeadline = 7,
  kPartlyDone = 8,
  kInterrupted = 130,  // 128 + SIGINT, as shells have it
};

// What a call's status means for the exit code.
ExitCode exit_code(imctl_code code);

// The list that --help shows, one line a code.
std::string_view exit_code_help();

}  // namespace imctl::host::cli

#endif  // IMCTL_HOST_CLI_EXIT_CODE_H
