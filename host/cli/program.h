// What both programs do: see host_program.h.
#ifndef IMCTL_HOST_CLI_PROGRAM_H
#define IMCTL_HOST_CLI_PROGRAM_H

#include "cli/session.h"

namespace imctl::host::cli {

// A command line from main() to its exit code.
int run_program(int argc, char** argv, const OpenTransport& open);

}  // namespace imctl::host::cli

#endif  // IMCTL_HOST_CLI_PROGRAM_H
