// Which fields of a reply a table shows, and how one reads in a cell.
#ifndef IMCTL_HOST_CLI_COLUMNS_H
#define IMCTL_HOST_CLI_COLUMNS_H

#include <google/protobuf/message.h>

#include <string>
#include <vector>

#include "imctl/options.pb.h"
#include "imctl/status.h"

namespace imctl::host::cli {

struct Column {
  std::string path;    // "attributes.subject"
  std::string header;  // "SUBJECT"
};

// The verb's columns of a row of that type, else every scalar field; `wide` adds the scalar fields
// that the verb leaves out. Paths that lead nowhere are left out, too.
std::vector<Column> columns_of(const google::protobuf::Descriptor* row, const imctl::Verb& verb,
                               bool wide);

// What the path leads to, as text; empty where there is nothing. Lists are comma-separated, a
// message of one `oneof` is what is set in it.
std::string cell(const google::protobuf::Message& row, const std::string& path);

}  // namespace imctl::host::cli

#endif  // IMCTL_HOST_CLI_COLUMNS_H
