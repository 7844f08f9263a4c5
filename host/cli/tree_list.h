// Objects that are alike, in the format that -o names: what the client lists by itself.
#ifndef IMCTL_HOST_CLI_TREE_LIST_H
#define IMCTL_HOST_CLI_TREE_LIST_H

#include <string>
#include <vector>

#include "cli/local_verbs.h"
#include "cli/tree.h"

namespace imctl::host::cli {

// `columns`: keys, of which `wide` shows all and a table the first `few`; `name` prints the first
// one.
// --columns and --sort-by choose among them; a name that is none of them is an error of usage.
Status print_list(LocalCall& call, std::vector<Tree> rows, const std::vector<std::string>& columns,
                  size_t few);

// What stands at a key of an object, as text; empty if there is nothing.
std::string text_at(const Tree& object, const std::string& key);

}  // namespace imctl::host::cli

#endif  // IMCTL_HOST_CLI_TREE_LIST_H
