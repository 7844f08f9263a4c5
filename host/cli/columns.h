// Which fields of a reply a table shows, and how one reads in a cell.
#ifndef IMCTL_HOST_CLI_COLUMNS_H
#define IMCTL_HOST_CLI_COLUMNS_H

#include <google/protobuf/message.h>

#include <string>
#include <string_view>
#include <vector>

#include "imctl/status.h"

namespace imctl::host::cli {

struct Column {
  std::string path;    // "attributes.subject"
  std::string header;  // "SUBJECT"
};

// Those of `paths` that lead somewhere from a row of that type; if there is none, every scalar
// field. `wide` adds the scalar fields that the paths leave out.
std::vector<Column> columns_of(const google::protobuf::Descriptor* row,
                               const std::vector<std::string>& paths, bool wide);

// What --columns and --sort-by name: a path, or its last part, written as in the .proto, as in the
// table's header or as a flag. Empty if it leads nowhere.
std::string find_path(const google::protobuf::Descriptor* row, const std::vector<Column>& shown,
                      const std::string& typed);

// What the path leads to, as text for people: sizes, durations and fractions are rounded. Empty
// where there is nothing. Lists are comma-separated, a message of one `oneof` is what is set in it.
std::string cell(const google::protobuf::Message& row, const std::string& path);

// Is the first to stand before the second, by the value at the path? Numbers, times and durations
// count as such; what is not there comes first.
bool cell_less(const google::protobuf::Message& a, const google::protobuf::Message& b,
               const std::string& path);

// Is it one value, which a cell can show?
bool is_scalar_like(const google::protobuf::FieldDescriptor* field);
// All of a field, as `cell` has it.
std::string field_text(const google::protobuf::Message& message,
                       const google::protobuf::FieldDescriptor* field);

// "ack_count" -> "Ack count".
std::string label_of(std::string_view field_name);

}  // namespace imctl::host::cli

#endif  // IMCTL_HOST_CLI_COLUMNS_H
