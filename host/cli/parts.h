// A reply of several parts on one screen: its scalars as "Field: value" lines, the messages in it
// as such lines below a title, and its lists as small tables.
#ifndef IMCTL_HOST_CLI_PARTS_H
#define IMCTL_HOST_CLI_PARTS_H

#include <google/protobuf/message.h>

#include <ostream>
#include <string>
#include <vector>

#include "cli/table.h"

namespace imctl::host::cli {

// Is there more in it than one row of a table can show, given the verb's columns?
bool has_parts(const google::protobuf::Descriptor* type, const std::vector<std::string>& columns);

// `columns`: the scalars that are shown, and with "list.column" the columns of the lists; where
// nothing is said of a part, all of it is. What is empty is left out, but for numbers. `wide`: also
// what the columns leave out.
void print_parts(const google::protobuf::Message& message, const std::vector<std::string>& columns,
                 bool wide, Table::Style style, std::ostream& out);

}  // namespace imctl::host::cli

#endif  // IMCTL_HOST_CLI_PARTS_H
