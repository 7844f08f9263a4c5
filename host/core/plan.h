// What the settings ask for: which modules, in which order, and who serves which service. Made and
// checked before any module's code runs, so a bad setting changes nothing.
#ifndef IMCTL_HOST_CORE_PLAN_H
#define IMCTL_HOST_CORE_PLAN_H

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "core/description.h"
#include "core/host_config.h"
#include "core/settings.h"
#include "imctl/status.h"

namespace imctl::host {

// A module that is installed and not to run.
struct OffModule {
  std::string name;
  std::string file;
  std::string why;
};

struct Plan {
  // In the order of start: what serves comes before what requires it. The host's own first.
  std::vector<std::shared_ptr<const Description>> modules;
  // Every service and the one module that serves it.
  std::map<std::string, std::string> providers;
  std::vector<OffModule> off;
  HostConfig config;
  // Every section's settings, but for those of modules that are off.
  std::map<std::string, SectionValues> values;
  std::shared_ptr<const SettingsSources> sources;

  // nullptr if there is none.
  std::shared_ptr<const Description> find(const std::string& name) const;
};

// The host that serves `services` elsewhere, as if it were a module. Never waits long: one that
// does not answer is described from what it said earlier, or without methods.
using DescribeRemote = std::function<Result<std::shared_ptr<const Description>>(
    const std::string& address, const std::vector<std::string>& services)>;

// `builtin`: the host's own. `describe_remote` may be empty. Errors say which setting, file or
// module, and what to do.
Result<Plan> make_plan(SettingsSources& sources, const HostConfig& config,
                       std::shared_ptr<const Description> builtin,
                       const DescribeRemote& describe_remote);

// Is it an address of another host, as [bind] has it: "grpc://HOST:PORT", "grpcs://..."?
bool is_remote_address(const std::string& provider);

}  // namespace imctl::host

#endif  // IMCTL_HOST_CORE_PLAN_H
