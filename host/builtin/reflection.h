// The reflection services, v1 and v1alpha alike, over the descriptors of the modules.
//
// Two modules may have different files of the same path. A client keeps one pool, so such a file is
// shown under a path of its own, "<module>/<path>", and the files that import it say so.
#ifndef IMCTL_HOST_BUILTIN_REFLECTION_H
#define IMCTL_HOST_BUILTIN_REFLECTION_H

#include <google/protobuf/descriptor.pb.h>

#include <optional>
#include <string>
#include <vector>

#include "imctl/sdk.h"

namespace imctl::host {

class Host;

class Reflection {
 public:
  explicit Reflection(const Host& host) : host_(host) {}

  std::vector<std::string> services() const;
  // Serialized files, all imports included; nothing if unknown.
  std::optional<std::vector<std::string>> file_by_name(const std::string& name) const;
  std::optional<std::vector<std::string>> file_of_symbol(const std::string& symbol) const;
  std::optional<std::vector<std::string>> file_of_extension(const std::string& type,
                                                            int number) const;
  std::optional<std::vector<int>> extension_numbers(const std::string& type) const;

 private:
  const Host& host_;
};

template <class Request, class Response>
Task<Status> answer_reflection(const Host& host, Stream<Request, Response>& stream) {
  constexpr size_t kTextLimit = 200;  // of what a client sent and is told again
  Reflection reflection(host);
  while (std::optional<Request> request = co_await stream.read()) {
    Response response;
    response.set_valid_host(request->host());
    *response.mutable_original_request() = *request;
    std::optional<std::vector<std::string>> files;
    std::string asked;
    switch (request->message_request_case()) {
      case Request::kListServices:
        for (const std::string& name : reflection.services()) {
          response.mutable_list_services_response()->add_service()->set_name(name);
        }
        break;
      case Request::kFileByFilename:
        asked = "file " + request->file_by_filename();
        files = reflection.file_by_name(request->file_by_filename());
        break;
      case Request::kFileContainingSymbol:
        asked = "symbol " + request->file_containing_symbol();
        files = reflection.file_of_symbol(request->file_containing_symbol());
        break;
      case Request::kFileContainingExtension:
        asked = "extension of " + request->file_containing_extension().containing_type();
        files =
            reflection.file_of_extension(request->file_containing_extension().containing_type(),
                                         request->file_containing_extension().extension_number());
        break;
      case Request::kAllExtensionNumbersOfType: {
        const std::string& type = request->all_extension_numbers_of_type();
        std::optional<std::vector<int>> numbers = reflection.extension_numbers(type);
        if (numbers) {
          auto* reply = response.mutable_all_extension_numbers_response();
          reply->set_base_type_name(type);
          for (int number : *numbers) reply->add_extension_number(number);
        } else {
          asked = "type " + type;
        }
        break;
      }
      case Request::MESSAGE_REQUEST_NOT_SET:
        response.mutable_error_response()->set_error_code(IMCTL_INVALID_ARGUMENT);
        response.mutable_error_response()->set_error_message("the request asks for nothing");
        break;
    }
    if (files) {
      for (std::string& file : *files) {
        response.mutable_file_descriptor_response()->add_file_descriptor_proto(std::move(file));
      }
    } else if (!asked.empty()) {
      response.mutable_error_response()->set_error_code(IMCTL_NOT_FOUND);
      response.mutable_error_response()->set_error_message("no loaded module has the " +
                                                           asked.substr(0, kTextLimit));
    }
    if (!co_await stream.write(response)) break;
  }
  co_return Status();
}

}  // namespace imctl::host

#endif  // IMCTL_HOST_BUILTIN_REFLECTION_H
