#include "builtin/module_messages.h"

#include <memory>
#include <string>

#include "builtin/times.h"
#include "core/host.h"

namespace imctl::host {

v1::ListModulesResponse list_modules(Host& host) {
  std::shared_ptr<const Modules::View> view = host.modules().view();
  v1::ListModulesResponse reply;
  for (const std::shared_ptr<Instance>& instance : view->modules) {
    v1::ModuleInfo* info = reply.add_modules();
    const Manifest& manifest = manifest_of(*instance);
    info->set_name(manifest.name());
    info->set_version(manifest.version());
    info->set_description(manifest.description());
    bool ill = instance->state() == InstanceState::kActive && !instance->is_serving();
    info->set_state(ill ? "ill" : to_string(instance->state()));
    if (!instance->is_serving()) info->set_reason(instance->health_reason());
    info->set_file(instance->description().file.path);
    info->set_where(instance->where());
    info->set_memory(instance->memory());
    for (const std::string& service : manifest.serves()) {
      auto provider = view->providers.find(service);
      if (provider != view->providers.end() && provider->second == instance->name()) {
        info->add_services(service);
      }
    }
  }
  for (const OffModule& module : view->off) {
    v1::ModuleInfo* info = reply.add_modules();
    info->set_name(module.name);
    info->set_state("off");
    info->set_file(module.file);
    info->set_reason(module.why);
  }
  return reply;
}

Result<v1::ChangeModulesResponse> change_modules(const Result<ModuleAdmin::Changes>& changes) {
  if (!changes.ok()) return changes.status();
  v1::ChangeModulesResponse reply;
  for (const ModuleChange& change : *changes) {
    v1::ModuleChange* one = reply.add_changes();
    one->set_module(change.module);
    one->set_action(change.action);
    one->set_version(change.version);
    one->set_where(change.where);
    one->set_held(change.swap.held);
    set_duration(change.swap.paused, one->mutable_paused());
  }
  return reply;
}

}  // namespace imctl::host
