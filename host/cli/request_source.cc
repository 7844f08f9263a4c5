#include "cli/request_source.h"

#include <google/protobuf/util/json_util.h>
#include <unistd.h>

#include <algorithm>
#include <utility>

#include "cli/field_value.h"
#include "cli/text.h"
#include "cli/yaml_input.h"

namespace imctl::host::cli {

using google::protobuf::FieldDescriptor;
using google::protobuf::Message;

bool takes_standard_input(const Given& given, const google::protobuf::MethodDescriptor& method) {
  bool lines = false;
  if (given.file.empty() && method.client_streaming()) {
    for (int i = 0; i < method.input_type()->field_count(); ++i) {
      lines = lines || is_lines(method.input_type()->field(i));
    }
  }
  return given.file == "-" || lines ||
         std::any_of(given.values.begin(), given.values.end(), [](const auto& value) {
           return (is_file(value.first) || is_secret(value.first)) && value.second == "-";
         });
}

RequestSource::RequestSource(const google::protobuf::MethodDescriptor* method,
                             const Arguments& arguments, Given given,
                             google::protobuf::MessageFactory* factory, int stdin_fd)
    : method_(method), arguments_(arguments), given_(std::move(given)), factory_(factory) {
  if (given_.file == "-") {
    documents_ = std::make_unique<DocumentReader>(stdin_fd, "standard input");
  } else if (!given_.file.empty()) {
    documents_ = std::make_unique<DocumentReader>(given_.file);
  } else if (method->client_streaming()) {
    for (int i = 0; i < method->input_type()->field_count(); ++i) {
      if (is_lines(method->input_type()->field(i))) line_field_ = method->input_type()->field(i);
    }
    if (line_field_ != nullptr) {
      lines_ = std::make_unique<DocumentReader>(stdin_fd, "standard input");
    } else {
      take_file(stdin_fd);
    }
  }
}

// A file that goes into a stream may be of any size: each message has a piece of it.
void RequestSource::take_file(int stdin_fd) {
  auto file = std::find_if(given_.values.begin(), given_.values.end(), [](const auto& value) {
    return is_file(value.first) && !value.first->is_repeated();
  });
  if (file == given_.values.end()) return;
  piece_field_ = file->first;
  std::string path = file->second;
  if (path.starts_with('@')) path.erase(0, 1);
  pieces_ = path == "-" ? std::make_unique<PieceReader>(stdin_fd, "standard input")
                        : std::make_unique<PieceReader>(path);
  given_.values.erase(file);
}

std::string RequestSource::fill_in(std::string text) const {
  size_t open = 0;
  while ((open = text.find('{', open)) != std::string::npos) {
    size_t close = text.find('}', open);
    if (close == std::string::npos) break;
    std::string name = text.substr(open + 1, close - open - 1);
    std::vector<std::string> values;
    for (const auto& [field, value] : given_.values) {
      if (field->name() == name && !is_secret(field)) values.push_back(value);
    }
    std::string said =
        values.empty() && !given_.file.empty() ? "what is in " + given_.file : join(values, ", ");
    text.replace(open, close - open + 1, said);
    open += said.size();
  }
  return text;
}

bool RequestSource::says_nothing() const {
  return documents_ == nullptr && lines_ == nullptr && pieces_ == nullptr &&
         given_.values.empty() && method_->input_type()->field_count() > 0;
}

Result<std::optional<std::string>> RequestSource::next() {
  if (documents_ != nullptr) return from_document();
  if (lines_ != nullptr) return from_line();
  if (pieces_ != nullptr) return from_file();
  if (count_++ > 0) return std::optional<std::string>();
  std::unique_ptr<Message> message(factory_->GetPrototype(method_->input_type())->New());
  return finish(message.get());
}

Result<std::optional<std::string>> RequestSource::from_document() {
  Result<std::optional<Document>> document = documents_->next();
  if (!document.ok()) return document.status();
  if (!*document) {
    if (count_ == 0) {
      return Status(IMCTL_INVALID_ARGUMENT, documents_->name() + ": there is no request in it");
    }
    return std::optional<std::string>();
  }
  ++count_;
  std::string json = std::move((*document)->text);
  if ((*document)->yaml) {
    Result<std::string> converted = yaml_to_json(json, method_->input_type(), (*document)->line);
    if (!converted.ok()) {
      return Status(IMCTL_INVALID_ARGUMENT,
                    documents_->name() + ":" + converted.status().message());
    }
    json = std::move(*converted);
    if (json.empty()) json = "{}";
  }
  std::unique_ptr<Message> message(factory_->GetPrototype(method_->input_type())->New());
  auto status = google::protobuf::util::JsonStringToMessage(json, message.get());
  if (!status.ok()) {
    return Status(IMCTL_INVALID_ARGUMENT,
                  documents_->name() + ":" + std::to_string((*document)->line) + ": does not fit " +
                      method_->input_type()->full_name() + ": " +
                      clean_line(std::string(status.message())));
  }
  return finish(message.get());
}

Result<std::optional<std::string>> RequestSource::from_line() {
  const bool first = count_++ == 0;
  if (first && method_->server_streaming() && !given_.values.empty()) {
    // What is answered may come before anything is typed.
    std::unique_ptr<Message> greeting(factory_->GetPrototype(method_->input_type())->New());
    return finish(greeting.get());
  }
  Result<std::optional<std::string>> line = lines_->next_line();
  if (!line.ok()) return line.status();
  if (!*line) return std::optional<std::string>();
  ++lines_read_;
  std::unique_ptr<Message> message(factory_->GetPrototype(method_->input_type())->New());
  Status status = set_field(message.get(), line_field_, **line);
  if (!status.ok()) {
    return Status(status.code(),
                  "line " + std::to_string(lines_read_) + " of standard input: " + status.message());
  }
  return finish(message.get());
}

Result<std::optional<std::string>> RequestSource::from_file() {
  Result<std::string> piece = pieces_->next();
  if (!piece.ok()) return piece.status();
  if (piece->empty() && count_ > 0) return std::optional<std::string>();
  std::unique_ptr<Message> message(factory_->GetPrototype(method_->input_type())->New());
  message->GetReflection()->SetString(message.get(), piece_field_, std::move(*piece));
  // What else is said stands in the first one.
  if (count_++ == 0) return finish(message.get());
  return std::optional<std::string>(message->SerializeAsString());
}

Result<std::optional<std::string>> RequestSource::finish(Message* message) {
  Status status = arguments_.apply(given_, message);
  if (!status.ok()) return status;
  std::string bytes;
  if (!message->SerializeToString(&bytes)) {
    return Status(IMCTL_INVALID_ARGUMENT,
                  "the request is larger than 2 GiB or lacks a required field");
  }
  return std::optional<std::string>(std::move(bytes));
}

}  // namespace imctl::host::cli
