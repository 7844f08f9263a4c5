#include "core/description.h"

#include <google/protobuf/io/coded_stream.h>
#include <google/protobuf/io/zero_copy_stream_impl_lite.h>

#include <algorithm>
#include <filesystem>
#include <utility>

#include "core/module_loader.h"
#include "imctl/options.pb.h"

namespace imctl::host {

static_assert(static_cast<int>(Access::kAdmin) == ACCESS_ADMIN &&
              static_cast<int>(Access::kUser) == ACCESS_USER &&
              static_cast<int>(Access::kSelf) == ACCESS_SELF &&
              static_cast<int>(Access::kNode) == ACCESS_NODE &&
              static_cast<int>(Access::kPublic) == ACCESS_PUBLIC);

namespace {

// What comes with the program is trusted with the program's own memory.
bool section_isolates(const SectionSettings& section, const std::string& path) {
  if (section.isolate != Isolate::kAuto) return section.isolate == Isolate::kProcess;
  std::string folder = std::filesystem::path(path).parent_path().lexically_normal().string();
  std::vector<std::string> own = default_module_path();
  return std::find(own.begin(), own.end(), folder) == own.end();
}

}  // namespace

void drop_files(Manifest* manifest) {
  google::protobuf::RepeatedPtrField<google::protobuf::FileDescriptorProto>().Swap(
      manifest->mutable_file());
}

Status check_owner_field(const google::protobuf::MethodDescriptor& method) {
  using google::protobuf::FieldDescriptor;
  const Rules& rules = method.options().GetExtension(imctl::rules);
  if (rules.access() != ACCESS_SELF) return {};
  const FieldDescriptor* owner = method.input_type()->FindFieldByName(rules.owner());
  if (owner != nullptr && owner->type() == FieldDescriptor::TYPE_STRING && !owner->is_repeated() &&
      !method.client_streaming()) {
    return {};
  }
  return {IMCTL_FAILED_PRECONDITION,
          method.full_name() +
              " is for users' own data (ACCESS_SELF), but its rules name no string "
              "field of its request as `owner`, or its requests are a stream"};
}

bool Description::same_as(const Description& other) const {
  return file.path == other.file.path && file.identity == other.file.identity &&
         file.manifest_bytes == other.file.manifest_bytes && config == other.config &&
         section == other.section && isolated == other.isolated && remote == other.remote;
}

Result<std::shared_ptr<const Description>> describe(SettingsSources& sources, ModuleFile file,
                                                    const Descriptors& builtin) {
  Result<std::shared_ptr<Descriptors>> descriptors = Descriptors::make(file.manifest);
  if (!descriptors.ok()) {
    return Status(descriptors.status().code(), file.path + ": " + descriptors.status().message());
  }
  const google::protobuf::Descriptor* own = nullptr;
  if (!file.manifest.config().empty()) {
    own = (*descriptors)->message(file.manifest.config());
    if (own == nullptr) {
      return Status(IMCTL_FAILED_PRECONDITION, file.path + ": its descriptors have no message " +
                                                   file.manifest.config() +
                                                   ", which its manifest names as its settings");
    }
  }
  auto described = std::make_shared<Description>();
  Result<Section> section =
      sources.section(file.manifest.name(), {own, builtin.message("imctl.host.v1.ModuleConfig")});
  if (!section.ok()) return section.status();
  if (own != nullptr) {
    google::protobuf::io::StringOutputStream out(&described->config);
    google::protobuf::io::CodedOutputStream coded(&out);
    coded.SetSerializationDeterministic(true);  // compared by same_as
    section->messages[0]->SerializeToCodedStream(&coded);
  }
  described->section = read_section_settings(*section->messages[1], file.manifest);
  described->values = section->values;
  drop_files(&file.manifest);
  described->isolated = section_isolates(described->section, file.path);
  described->file = std::move(file);
  described->descriptors = std::move(*descriptors);
  return std::shared_ptr<const Description>(std::move(described));
}

Result<InstanceSpec> spec_of(std::shared_ptr<const Description> description) {
  const Manifest& manifest = description->manifest();
  InstanceSpec spec;
  spec.name = manifest.name();
  for (const Requirement& need : manifest.needs()) spec.needs.push_back(need.service());
  for (const std::string& service : manifest.serves()) {
    const google::protobuf::ServiceDescriptor* found = description->descriptors->service(service);
    if (found == nullptr && !description->remote.empty()) continue;  // not reached yet
    if (found == nullptr) {
      return Status(IMCTL_FAILED_PRECONDITION, "module " + spec.name + ": it serves " + service +
                                                   ", which its descriptors do not have");
    }
    for (int i = 0; i < found->method_count(); ++i) {
      Status status = check_owner_field(*found->method(i));
      if (!status.ok())
        return Status(status.code(), "module " + spec.name + ": " + status.message());
      spec.methods.push_back(method_info(*found->method(i)));
    }
  }
  spec.limits = description->section.limits;
  spec.description = std::move(description);
  return spec;
}

namespace {

bool is_audited(const Rules& rules, const google::protobuf::MethodOptions& options) {
  if (rules.audit() != AUDIT_AUTO) return rules.audit() == AUDIT_ALWAYS;
  return options.idempotency_level() != google::protobuf::MethodOptions::NO_SIDE_EFFECTS &&
         rules.access() != ACCESS_USER && rules.access() != ACCESS_PUBLIC;
}

}  // namespace

MethodInfo method_info(const google::protobuf::MethodDescriptor& descriptor) {
  const google::protobuf::MethodOptions& options = descriptor.options();
  const Rules& rules = options.GetExtension(imctl::rules);
  MethodInfo info;
  info.service = descriptor.service()->full_name();
  info.name = "/" + info.service + "/" + descriptor.name();
  info.verb = options.GetExtension(imctl::verb).path();
  info.client_streams = descriptor.client_streaming();
  info.server_streams = descriptor.server_streaming();
  info.blocking = rules.blocking();
  info.reads = options.idempotency_level() == google::protobuf::MethodOptions::NO_SIDE_EFFECTS;
  info.access = static_cast<Access>(rules.access());
  if (const auto* owner = descriptor.input_type()->FindFieldByName(rules.owner())) {
    info.owner = static_cast<uint32_t>(owner->number());
  }
  info.dry_run = rules.dry_run() || info.reads;
  info.audited = is_audited(rules, options);
  info.descriptor = &descriptor;
  return info;
}

}  // namespace imctl::host
