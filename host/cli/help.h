// Help, from the comments in the modules' .proto files.
#ifndef IMCTL_HOST_CLI_HELP_H
#define IMCTL_HOST_CLI_HELP_H

#include <string>
#include <vector>

#include "cli/catalog.h"
#include "imctl/status.h"

namespace imctl::host::cli {

std::string version_line();

// The verbs below `words`; of no words, all of them and the flags that they share. Empty if nothing
// begins with these words. `catalog` nullptr: only what needs no host.
std::string list_help(Catalog* catalog, const std::vector<std::string>& words, size_t width);

// One verb: usage, description, arguments, flags, examples, exit codes.
Result<std::string> verb_help(Catalog& catalog, const VerbEntry& verb, size_t width);

}  // namespace imctl::host::cli

#endif  // IMCTL_HOST_CLI_HELP_H
