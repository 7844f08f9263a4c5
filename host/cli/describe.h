// What there is to know of a method, a message or an enum from its descriptor.
#ifndef IMCTL_HOST_CLI_DESCRIBE_H
#define IMCTL_HOST_CLI_DESCRIBE_H

#include <google/protobuf/descriptor.h>

#include <string>

#include "cli/catalog.h"
#include "cli/tree.h"

namespace imctl::host::cli {

// Of one method: method, verb, effect, access, streams, dry_run, module.
Tree method_summary(const google::protobuf::MethodDescriptor* method, const std::string& module,
                    const std::string& verb);

// The summary, with help, request, reply and errors. Messages are followed into their fields' own,
// each type once a path.
Tree describe(const google::protobuf::MethodDescriptor* method, const std::string& module,
              const std::string& verb);
Tree describe(const google::protobuf::Descriptor* type);
Tree describe(const google::protobuf::EnumDescriptor* type);

// As people read what describe() gives.
std::string description_text(const Tree& description, size_t width, bool color);

}  // namespace imctl::host::cli

#endif  // IMCTL_HOST_CLI_DESCRIBE_H
