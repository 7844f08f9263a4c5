// Sets a field of a message from text on the command line.
#ifndef IMCTL_HOST_CLI_FIELD_VALUE_H
#define IMCTL_HOST_CLI_FIELD_VALUE_H

#include <google/protobuf/descriptor.h>
#include <google/protobuf/message.h>

#include <string>
#include <vector>

#include "core/field_options.h"
#include "imctl/status.h"

namespace imctl::host::cli {

// Sets the field, or adds to it if it is a list or a map. Numbers, names of enum values, "true";
// bytes as text or @FILE (for fields that are files); "168h" for a Duration, RFC 3339 for a
// Timestamp; KEY=VALUE for a map; JSON for other messages. INVALID_ARGUMENT is a clause to follow
// the field's name: "'x' is not a whole number".
Status set_field(google::protobuf::Message* message, const google::protobuf::FieldDescriptor* field,
                 const std::string& text);

// How help calls a value of the field: "N", "DURATION", "KEY=VALUE", "a|b|c".
std::string value_name(const google::protobuf::FieldDescriptor* field);

// The values there are: names of an enum as on the command line, true and false. Empty: any.
std::vector<std::string> choices(const google::protobuf::FieldDescriptor* field);

// A value of an enum as people write and read it: lower case, without what all values' names share.
std::string choice_name(const google::protobuf::EnumValueDescriptor* value);

// Is its flag enough, without a value?
bool takes_no_value(const google::protobuf::FieldDescriptor* field);

// What kind of live object it names; empty: none.
std::string names_kind(const google::protobuf::FieldDescriptor* field);

// A whole file; "-" is standard input.
Result<std::string> read_file(const std::string& path);

// Has the field its own declaration `lines`, a unit? (core/field_options.h has `secret` and
// `file`.)
bool is_lines(const google::protobuf::FieldDescriptor* field);
bool is_size(const google::protobuf::FieldDescriptor* field);

}  // namespace imctl::host::cli

#endif  // IMCTL_HOST_CLI_FIELD_VALUE_H
