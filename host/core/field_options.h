// What a field's own declaration says of it.
#ifndef IMCTL_HOST_CORE_FIELD_OPTIONS_H
#define IMCTL_HOST_CORE_FIELD_OPTIONS_H

#include <google/protobuf/descriptor.h>

#include "imctl/options.pb.h"

namespace imctl::host {

inline const imctl::Field& options_of(const google::protobuf::FieldDescriptor* field) {
  return field->options().GetExtension(imctl::field);
}

// Never printed, logged or recorded.
inline bool is_secret(const google::protobuf::FieldDescriptor* field) {
  return options_of(field).secret();
}
// Bytes that are a file's.
inline bool is_file(const google::protobuf::FieldDescriptor* field) {
  return options_of(field).file();
}

}  // namespace imctl::host

#endif  // IMCTL_HOST_CORE_FIELD_OPTIONS_H
