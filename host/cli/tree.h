// Trees as YAML, for people.
#ifndef IMCTL_HOST_CLI_TREE_H
#define IMCTL_HOST_CLI_TREE_H

#include <string>

#include "core/tree.h"

namespace imctl::host::cli {

// Block style, with a line end after it.
std::string to_yaml(const Tree& tree);

// Is it a number in JSON's notation?
bool is_json_number(const std::string& text);

}  // namespace imctl::host::cli

#endif  // IMCTL_HOST_CLI_TREE_H
