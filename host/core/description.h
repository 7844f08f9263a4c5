// What is known of a module before any of its code runs: its file, its descriptors, its settings.
#ifndef IMCTL_HOST_CORE_DESCRIPTION_H
#define IMCTL_HOST_CORE_DESCRIPTION_H

#include <memory>
#include <string>
#include <vector>

#include "core/descriptors.h"
#include "core/module_file.h"
#include "core/module_settings.h"
#include "core/settings.h"
#include "imctl/status.h"
#include "road/instance.h"

namespace imctl::host {

struct Description {
  ModuleFile file;
  std::shared_ptr<Descriptors> descriptors;
  std::string config;                // its settings message, serialized
  std::vector<SettingValue> values;  // of its section
  SectionSettings section;           // what every module's section has
  bool isolated = false;             // runs in a process of its own
  std::string remote;  // the address of the host that it stands for; empty: a module of this one

  const std::string& name() const { return file.manifest.name(); }
  const Manifest& manifest() const { return file.manifest; }
  bool is_builtin() const { return file.path.empty() && remote.empty(); }
  // Would an instance of `other` do all the same?
  bool same_as(const Description& other) const;
};

// Once there are descriptors the manifest's files are of no use any more, and large.
void drop_files(Manifest* manifest);

inline const Manifest& manifest_of(const Instance& instance) {
  return instance.description().manifest();
}

// Reads the module's section. `builtin`: the host's own descriptors. Errors name the setting or the
// file.
Result<std::shared_ptr<const Description>> describe(SettingsSources& sources, ModuleFile file,
                                                    const Descriptors& builtin);

// What an instance of it is made with. An error names a service that its descriptors do not have.
Result<InstanceSpec> spec_of(std::shared_ptr<const Description> description);

// Whose a request of ACCESS_SELF is about must be there to be read.
Status check_owner_field(const google::protobuf::MethodDescriptor& method);

MethodInfo method_info(const google::protobuf::MethodDescriptor& descriptor);

}  // namespace imctl::host

#endif  // IMCTL_HOST_CORE_DESCRIPTION_H
