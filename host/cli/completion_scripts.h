// What makes a shell ask `imctl __complete`.
#ifndef IMCTL_HOST_CLI_COMPLETION_SCRIPTS_H
#define IMCTL_HOST_CLI_COMPLETION_SCRIPTS_H

#include <string>

namespace imctl::host::cli {

// "bash", "zsh" or "fish"; empty for any other.
std::string completion_script(const std::string& shell);

}  // namespace imctl::host::cli

#endif  // IMCTL_HOST_CLI_COMPLETION_SCRIPTS_H
