// YAML requests.
#ifndef IMCTL_HOST_CLI_YAML_INPUT_H
#define IMCTL_HOST_CLI_YAML_INPUT_H

#include <google/protobuf/descriptor.h>

#include <string>

#include "imctl/status.h"

namespace imctl::host::cli {

// Turns one YAML document into the JSON of a message of that type. A plain scalar has the type that
// its field asks for (`id: 42` is a string where the field is one). `line`: where the document
// starts in its file, for the error, which begins with LINE:COLUMN. Empty when the document is.
Result<std::string> yaml_to_json(const std::string& yaml, const google::protobuf::Descriptor* type,
                                 size_t line);

}  // namespace imctl::host::cli

#endif  // IMCTL_HOST_CLI_YAML_INPUT_H
