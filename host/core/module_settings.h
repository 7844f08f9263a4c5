// What the section of every module has, beside the module's own settings:
// imctl.host.v1.ModuleConfig.
#ifndef IMCTL_HOST_CORE_MODULE_SETTINGS_H
#define IMCTL_HOST_CORE_MODULE_SETTINGS_H

#include <optional>
#include <string>

#include "imctl/manifest.pb.h"
#include "link/process_limits.h"
#include "road/instance.h"

namespace google::protobuf {
class Message;
}

namespace imctl::host {

enum class Isolate { kAuto, kNo, kProcess };

struct SectionSettings {
  std::optional<bool> enabled;
  std::string file;
  Isolate isolate = Isolate::kAuto;
  ProcessLimits process;
  InstanceLimits limits;

  bool operator==(const SectionSettings& other) const;
};

SectionSettings read_section_settings(const google::protobuf::Message& config,
                                      const Manifest& manifest);

}  // namespace imctl::host

#endif  // IMCTL_HOST_CORE_MODULE_SETTINGS_H
