// Asks before what destroys.
#ifndef IMCTL_HOST_CLI_CONFIRM_H
#define IMCTL_HOST_CLI_CONFIRM_H

#include <string>

#include "cli/terminal.h"
#include "imctl/status.h"

namespace imctl::host::cli {

// True: yes was the answer. INVALID_ARGUMENT where nobody can be asked; it names --yes.
Result<bool> confirm(const Terminal& terminal, const std::string& question);

}  // namespace imctl::host::cli

#endif  // IMCTL_HOST_CLI_CONFIRM_H
