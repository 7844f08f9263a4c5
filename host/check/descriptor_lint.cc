#include "check/descriptor_lint.h"

#include <google/protobuf/descriptor.h>

#include <algorithm>
#include <functional>
#include <map>
#include <set>
#include <utility>

#include "core/description.h"
#include "core/settings_field.h"
#include "imctl/options.pb.h"

namespace imctl::host {
namespace {

using google::protobuf::Descriptor;
using google::protobuf::FieldDescriptor;
using google::protobuf::MethodDescriptor;
using google::protobuf::ServiceDescriptor;

void for_each_method(const Manifest& manifest, const Descriptors& descriptors,
                     const std::function<void(const MethodDescriptor&)>& told) {
  for (const std::string& name : manifest.serves()) {
    const ServiceDescriptor* service = descriptors.service(name);
    if (service == nullptr) continue;
    for (int i = 0; i < service->method_count(); ++i) told(*service->method(i));
  }
}

// "attributes.subject": the field at the end of the path, or nullptr. Behind a map any key may
// stand.
const FieldDescriptor* field_at(const Descriptor* message, const std::string& path) {
  const FieldDescriptor* field = nullptr;
  for (size_t at = 0; at <= path.size();) {
    if (message == nullptr) return nullptr;
    size_t end = std::min(path.find('.', at), path.size());
    field = message->FindFieldByName(path.substr(at, end - at));
    if (field == nullptr) return nullptr;
    if (field->is_map()) return field;
    message = field->message_type();
    at = end + 1;
  }
  return field;
}

// Names between braces.
std::vector<std::string> braced(const std::string& text) {
  std::vector<std::string> names;
  for (size_t at = 0; (at = text.find('{', at)) != std::string::npos;) {
    size_t end = text.find('}', at);
    if (end == std::string::npos) break;
    names.push_back(text.substr(at + 1, end - at - 1));
    at = end;
  }
  return names;
}

std::vector<std::string> split(const std::string& text, char separator) {
  std::vector<std::string> parts;
  for (size_t at = 0; at <= text.size();) {
    size_t end = std::min(text.find(separator, at), text.size());
    if (end > at) parts.push_back(text.substr(at, end - at));
    at = end + 1;
  }
  return parts;
}

class VerbLint {
 public:
  VerbLint(const MethodDescriptor& method, Findings& findings)
      : method_(method), verb_(method.options().GetExtension(imctl::verb)), findings_(findings) {}

  void run() {
    const Descriptor* request = method_.input_type();
    const Descriptor* reply = method_.output_type();
    for (const std::string& name : verb_.positional()) has(request, name, "positional");
    for (const std::string& flag : verb_.short_flags()) {
      if (flag.size() < 3 || flag[1] != '=') {
        wrong("short_flags: \"" + flag + "\" is not like \"l=limit\"");
      } else {
        has(request, flag.substr(2), "short_flags");
      }
    }
    if (!verb_.rows().empty()) {
      const FieldDescriptor* rows = field_at(reply, verb_.rows());
      if (rows == nullptr || !rows->is_repeated()) {
        wrong("rows: " + reply->full_name() + " has no list " + verb_.rows());
      } else if (rows->message_type() != nullptr) {
        reply = rows->message_type();
      } else {
        reply = nullptr;
      }
    }
    for (const std::string& column : verb_.columns()) {
      if (reply != nullptr) has(reply, column, "columns");
    }
    for (const std::string& name : braced(verb_.confirm())) has(request, name, "confirm");
    for (const std::string& name : braced(verb_.line())) {
      if (reply != nullptr) has(reply, name, "line");
    }
    for (const std::string& name : split(verb_.progress(), '/')) {
      has(method_.output_type(), name, "progress");
    }
    if (std::vector<std::string> acks = split(verb_.acks(), '='); !acks.empty()) {
      if (acks.size() != 2) {
        wrong("acks: \"" + verb_.acks() + "\" is not like \"count=list\"");
      } else {
        has(method_.output_type(), acks[0], "acks");
        has(request, acks[1], "acks");
      }
    }
    if (verb_.watch() && (method_.client_streaming() || method_.server_streaming())) {
      wrong("watch: is for unary methods");
    }
  }

 private:
  void wrong(const std::string& what) {
    findings_.fail(Rule::kDescriptors, method_.full_name() + ": imctl.verb: " + what);
  }
  void has(const Descriptor* message, const std::string& path, const char* option) {
    if (field_at(message, path) == nullptr) {
      wrong(std::string(option) + ": " + message->full_name() + " has no field " + path);
    }
  }

  const MethodDescriptor& method_;
  const imctl::Verb& verb_;
  Findings& findings_;
};

void lint_settings(const Manifest& manifest, const Descriptors& descriptors, Findings& findings) {
  if (manifest.config().empty()) return;
  const Descriptor* config = descriptors.message(manifest.config());
  if (config == nullptr) {
    findings.fail(Rule::kDescriptors, "the manifest's config, " + manifest.config() +
                                          ", is no message of its descriptors");
    return;
  }
  for (int i = 0; i < config->field_count(); ++i) {
    Result<SettingField> field = SettingField::make(config->field(i));
    Status status = field.status();
    if (field.ok() && !field->options().required()) {
      std::unique_ptr<google::protobuf::Message> message = descriptors.make_message(config);
      status = field->set_default(*message);
    }
    if (status.ok()) continue;
    findings.fail(Rule::kDescriptors,
                  config->field(i)->full_name() + ": as a setting: " + status.message());
  }
}

}  // namespace

void lint_descriptors(const Manifest& manifest, const Descriptors& descriptors,
                      Findings& findings) {
  for (const std::string& name : manifest.serves()) {
    if (descriptors.service(name) != nullptr) continue;
    findings.fail(Rule::kDescriptors, "it serves " + name + ", which its descriptors do not have");
  }
  lint_settings(manifest, descriptors, findings);
  for_each_method(manifest, descriptors, [&](const MethodDescriptor& method) {
    const google::protobuf::MethodOptions& options = method.options();
    if (Status owner = check_owner_field(method); !owner.ok()) {
      findings.fail(Rule::kDescriptors, owner.message());
    }
    if (options.HasExtension(imctl::verb)) VerbLint(method, findings).run();
    if (!options.has_idempotency_level() && !options.HasExtension(imctl::rules)) {
      findings.fail(Rule::kDeclared,
                    method.full_name() +
                        ": says neither what it does (idempotency_level) nor who may call it "
                        "(imctl.rules): only administrators may, and it counts as one that writes");
    }
  });
  findings.pass(Rule::kDescriptors);
  findings.pass(Rule::kDeclared);
}

void lint_verbs(const Manifest& manifest, const Descriptors& descriptors,
                const std::vector<std::pair<std::string, std::string>>& taken, Findings& findings) {
  std::map<std::string, std::string> owners(taken.begin(), taken.end());
  for_each_method(manifest, descriptors, [&](const MethodDescriptor& method) {
    const std::string& path = method.options().GetExtension(imctl::verb).path();
    if (path.empty()) return;
    auto [owner, fresh] = owners.emplace(path, method.full_name());
    if (!fresh) {
      findings.fail(Rule::kVerbs, method.full_name() + ": the verb '" + path + "' is " +
                                      owner->second + "'s already");
    }
  });
  findings.pass(Rule::kVerbs);
}

}  // namespace imctl::host
