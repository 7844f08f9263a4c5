#include "core/dispatcher.h"

#include <string>

#include "core/host.h"
#include "core/instance.h"

namespace imctl::host {

void Dispatcher::start(Call& call) {
  MethodSlot* target = call.params().target;
  call.join_parent();
  std::shared_ptr<const Route> route = target->route();
  if (route == nullptr) {
    call.refuse(Status(IMCTL_UNIMPLEMENTED, "no loaded module serves " + target->name() +
                                                " (`imctl module list` shows what is served)"));
    return;
  }
  const MethodInfo& method = route->served->info;
  Status status = check_bounds(call);
  if (status.ok()) status = check_dry_run(call, method);
  if (status.ok()) status = check_access(call, method);
  if (status.ok() && !method.client_streams && !call.params().request) {
    status =
        Status(IMCTL_RESOURCE_EXHAUSTED, "there is no memory for the request, or it is over 2 GiB");
  }
  if (status.ok() && !route->instance->gate().enter()) {
    status = Status(IMCTL_UNAVAILABLE, "module " + route->instance->name() + ", which serves " +
                                           target->name() + ", is stopping: try again soon");
  }
  if (!status.ok()) {
    call.refuse(std::move(status));
    return;
  }
  if (call.params().watch_deadline) call.watch_deadline(&host_->timer());
  call.serve(route->instance, *route->served);
}

Status Dispatcher::check_bounds(const Call& call) const {
  const CallParams& params = call.params();
  if (params.depth > host_->config().max_depth) {
    return {IMCTL_RESOURCE_EXHAUSTED,
            "calls made on behalf of one another are " + std::to_string(params.depth) +
                " deep at " + params.target->name() +
                ": modules call each other in a circle? (host.max_depth)"};
  }
  if (params.deadline != 0 && params.deadline <= monotonic_now()) {
    return {IMCTL_DEADLINE_EXCEEDED, "the deadline passed before the call began"};
  }
  if (host_->in_flight() + static_cast<int64_t>(params.request.size()) >
      host_->config().max_in_flight) {
    return {IMCTL_RESOURCE_EXHAUSTED,
            "the requests in work reached host.max_in_flight: try again later, with fewer at once"};
  }
  return {};
}

Status Dispatcher::check_dry_run(const Call& call, const MethodInfo& method) {
  if ((call.params().flags & IMCTL_DRY_RUN) == 0 || method.dry_run) return {};
  return {IMCTL_FAILED_PRECONDITION,
          method.name + " does not support dry run; nothing was changed"};
}

Status Dispatcher::check_access(const Call& call, const MethodInfo& method) const {
  const CallParams& params = call.params();
  switch (params.principal_kind) {
    case IMCTL_PRINCIPAL_ADMIN: return {};
    case IMCTL_PRINCIPAL_MODULE: {
      Instance* module = host_->find_module(params.caller_module);
      if (module != nullptr && module->may_call(method.service)) return {};
      return {IMCTL_PERMISSION_DENIED, "module " + params.principal + " may call " +
                                           method.service +
                                           " as itself only if its manifest's needs name it"};
    }
    case IMCTL_PRINCIPAL_NODE:
      if (method.access == ACCESS_NODE || method.access == ACCESS_PUBLIC) return {};
      break;
    case IMCTL_PRINCIPAL_USER:
      if (method.access == ACCESS_USER || method.access == ACCESS_PUBLIC) return {};
      break;
    case IMCTL_PRINCIPAL_NONE:
      if (method.access == ACCESS_PUBLIC) return {};
      return {IMCTL_UNAUTHENTICATED, method.name + " needs a credential"};
  }
  return {IMCTL_PERMISSION_DENIED, params.principal + " may not call " + method.name};
}

}  // namespace imctl::host
