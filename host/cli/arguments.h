// A verb's arguments: what may stand on its line, and what does.
#ifndef IMCTL_HOST_CLI_ARGUMENTS_H
#define IMCTL_HOST_CLI_ARGUMENTS_H

#include <google/protobuf/descriptor.h>
#include <google/protobuf/message.h>

#include <string>
#include <utility>
#include <vector>

#include "imctl/options.pb.h"
#include "imctl/status.h"

namespace imctl::host::cli {

struct Argument {
  const google::protobuf::FieldDescriptor* field = nullptr;
  std::string flag;     // "spec-version"; of a positional one, what help calls it
  char short_flag = 0;  // 0: none
  bool positional = false;
};

// What stands on the line, in its order.
struct Given {
  std::vector<std::pair<const google::protobuf::FieldDescriptor*, std::string>> values;
  std::string file;  // of -f; empty if it is not there
};

class Arguments {
 public:
  // A field whose flag is also one of every command's, or `--file`, is `--field-NAME`. A short flag
  // that is taken is left out.
  Arguments(const google::protobuf::Descriptor* request, const imctl::Verb& verb);

  // Is `-f` the file of requests? A verb may have it for a flag of its own ("f=follow"); then it is
  // `--file` alone.
  bool file_short() const { return file_short_; }

  // Positional ones first, in their order; then the flags in the .proto's.
  const std::vector<Argument>& all() const { return all_; }

  // INVALID_ARGUMENT names the flag or argument, and the nearest flag there is.
  Result<Given> parse(const std::vector<std::string>& tokens) const;

  // Puts the values of secret fields in place of how they are to be got; may ask on the terminal.
  Status read_secrets(Given* given) const;

  // Sets the fields on a message that may be filled from a file: a list that is given replaces the
  // file's, entries of a map are added to it.
  Status apply(const Given& given, google::protobuf::Message* message) const;

 private:
  Status check(const Given& given) const;
  std::string label(const google::protobuf::FieldDescriptor* field) const;

  std::vector<Argument> all_;
  bool file_short_ = true;
};

}  // namespace imctl::host::cli

#endif  // IMCTL_HOST_CLI_ARGUMENTS_H
