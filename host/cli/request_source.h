// The requests that a command line sends: from flags, from a file's documents, from lines of
// standard input, from a file in pieces.
#ifndef IMCTL_HOST_CLI_REQUEST_SOURCE_H
#define IMCTL_HOST_CLI_REQUEST_SOURCE_H

#include <google/protobuf/descriptor.h>
#include <google/protobuf/dynamic_message.h>

#include <memory>
#include <optional>
#include <string>

#include "cli/arguments.h"
#include "cli/documents.h"
#include "cli/pieces.h"
#include "imctl/status.h"

namespace imctl::host::cli {

// Do requests, lines, a file or a secret in them come from there?
bool takes_standard_input(const Given& given, const google::protobuf::MethodDescriptor& method);

class RequestSource {
 public:
  // `stdin_fd`: where lines come from. The method, `arguments` and `factory` must outlive it.
  RequestSource(const google::protobuf::MethodDescriptor* method, const Arguments& arguments,
                Given given, google::protobuf::MessageFactory* factory, int stdin_fd);

  bool reads_standard_input() const { return takes_standard_input(given_, *method_); }

  // A text with what the line gives for "{field}" in it.
  std::string fill_in(std::string text) const;

  // Would a request say nothing at all, of a method that has something to be told?
  bool says_nothing() const;

  // The next request, serialized; nothing: no more. INVALID_ARGUMENT names the file, flag or line.
  Result<std::optional<std::string>> next();

 private:
  void take_file(int stdin_fd);
  Result<std::optional<std::string>> from_document();
  Result<std::optional<std::string>> from_line();
  Result<std::optional<std::string>> from_file();
  Result<std::optional<std::string>> finish(google::protobuf::Message* message);

  const google::protobuf::MethodDescriptor* method_;
  const Arguments& arguments_;
  Given given_;
  google::protobuf::MessageFactory* factory_;
  std::unique_ptr<DocumentReader> documents_;  // of -f
  std::unique_ptr<DocumentReader> lines_;      // of standard input
  const google::protobuf::FieldDescriptor* line_field_ = nullptr;
  std::unique_ptr<PieceReader> pieces_;  // of a file that fills a field of a client stream
  const google::protobuf::FieldDescriptor* piece_field_ = nullptr;
  size_t count_ = 0;
  size_t lines_read_ = 0;
};

}  // namespace imctl::host::cli

#endif  // IMCTL_HOST_CLI_REQUEST_SOURCE_H
