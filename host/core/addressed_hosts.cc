#include "core/addressed_hosts.h"

#include <algorithm>
#include <chrono>
#include <utility>

#include "core/host.h"
#include "road/instance.h"

namespace imctl::host {
namespace {

// "/package.Service/Method@ADDRESS" -> "package.Service@ADDRESS"
std::string key_of(const MethodSlot& method) {
  return std::string(method.service()) + "@" + std::string(method.address());
}

}  // namespace

std::shared_ptr<const Route> AddressedHosts::route(MethodSlot& method) {
  std::lock_guard lock(mutex_);
  if (std::shared_ptr<const Route> known = method.route()) return known;
  if (stopped_) return nullptr;
  const std::string name = method.name().substr(0, method.name().find('@'));
  Result<std::shared_ptr<Instance>> instance = open(method, name);
  if (!instance.ok()) {
    problems_[method.name()] = instance.status().message();
    return nullptr;
  }
  const std::vector<Served>& all = (*instance)->served();
  auto served = std::find_if(all.begin(), all.end(),
                             [&](const Served& one) { return one.info.name == name; });
  if (served == all.end()) return nullptr;
  auto route = std::make_shared<const Route>(Route{*instance, &*served});
  method.set_route(route);
  return route;
}

Result<std::shared_ptr<Instance>> AddressedHosts::open(const MethodSlot& method,
                                                       const std::string& name) {
  auto known = instances_.find(key_of(method));
  if (known != instances_.end()) return known->second;
  MethodSlot* here = host_->methods().find(name);
  std::shared_ptr<const Route> like = here == nullptr ? nullptr : here->route();
  if (like == nullptr) {
    return Status(IMCTL_UNIMPLEMENTED, "no module of this host serves " + name +
                                           ", so what it looks like elsewhere is not known");
  }
  if (host_->options().remote_hosts == nullptr) {
    return Status(IMCTL_UNIMPLEMENTED, "this host calls no others");
  }
  const std::string address(method.address());
  Result<std::unique_ptr<ModuleCode>> code = host_->options().remote_hosts->make_forwarder(address);
  if (!code.ok()) return code.status();
  InstanceSpec spec;
  spec.name = address;
  for (MethodInfo info : like->instance->spec().methods) {
    if (info.service != method.service()) continue;
    info.descriptor = nullptr;  // it is the module's, which may go
    info.audited = false;       // where it is served
    spec.methods.push_back(std::move(info));
  }
  auto instance = std::make_shared<Instance>(host_, std::move(spec), std::move(*code));
  Status status = instance->create();
  if (status.ok()) status = instance->prepare({});
  if (status.ok()) status = instance->activate();
  if (!status.ok()) {
    instance->destroy();
    return status;
  }
  (void)instance->gate().open();
  return instances_[key_of(method)] = std::move(instance);
}

Status AddressedHosts::not_served(std::string_view method) const {
  std::lock_guard lock(mutex_);
  if (stopped_) return {IMCTL_UNAVAILABLE, "the host is stopping"};
  auto problem = problems_.find(method);
  return {IMCTL_UNIMPLEMENTED, problem == problems_.end()
                                   ? "nobody serves " + std::string(method)
                                   : std::string(method) + ": " + problem->second};
}

void AddressedHosts::stop() {
  std::map<std::string, std::shared_ptr<Instance>> instances;
  {
    std::lock_guard lock(mutex_);
    stopped_ = true;
    instances.swap(instances_);
  }
  // No module is left that calls, so nothing is to be waited for.
  for (auto& [key, instance] : instances) {
    Status status = instance->stop(std::chrono::steady_clock::now());
    if (!status.ok()) host_->log().error(status.message());
    instance->destroy();
  }
}

}  // namespace imctl::host
