// A module's code, wherever it runs: in this process through the ABI, in a child process, on
// another host. An Instance drives it through the life that imctl_module describes; the rules there
// on order and threads hold here too.
#ifndef IMCTL_HOST_ROAD_MODULE_CODE_H
#define IMCTL_HOST_ROAD_MODULE_CODE_H

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "imctl/module.h"
#include "imctl/status.h"
#include "road/buffer.h"

namespace imctl::host {

// What prepare is given.
struct ModuleSettings {
  std::string config;  // the settings message, serialized
  std::string data_dir;
  std::string domain;
};

class ModuleCode {
 public:
  ModuleCode() = default;
  ModuleCode(const ModuleCode&) = delete;
  ModuleCode& operator=(const ModuleCode&) = delete;
  // After destroy(). Lets go of the code: unmaps it, ends the child.
  virtual ~ModuleCode() = default;

  virtual Status create(imctl_host* host) = 0;
  // By name; after create. The entries stay valid until destroy.
  virtual Result<std::map<std::string, imctl_method>> methods() = 0;
  // False: not even the handlers of methods declared `blocking` block, so they need no pool.
  virtual bool handlers_block() const { return true; }
  virtual Status prepare(const ModuleSettings& settings) = 0;
  virtual Status activate() = 0;
  virtual Status quiesce() = 0;
  virtual Status deactivate() = 0;
  virtual void destroy() = 0;

  // imctl.handover/1: state that goes from an old copy to a new one. Nothing: the module has none.
  virtual Result<BufferRef> save() { return BufferRef(); }
  virtual Status restore(const BufferRef& /*state*/) { return {}; }

  // imctl.settings/1. UNIMPLEMENTED: the module does not offer it.
  virtual Status apply(const ModuleSettings& /*settings*/) {
    return {IMCTL_UNIMPLEMENTED, "it takes no settings while it runs"};
  }
  // imctl.state/1: names and values. Nothing if the module does not offer it.
  using State = std::vector<std::pair<std::string, std::string>>;
  virtual Result<State> report() { return State(); }
  // The lowest level of lines that are logged is another; see Instance::log_enabled. [any]
  virtual void log_level_changed() {}

  // "in process", "process 4711", "grpc://host:port".
  virtual std::string where() const = 0;
  // Resident memory in bytes; 0: not known.
  virtual uint64_t memory() const { return 0; }
};

}  // namespace imctl::host

#endif  // IMCTL_HOST_ROAD_MODULE_CODE_H
