#include "road/dispatcher.h"

#include <string>
#include <utility>

#include "imctl/retry.h"
#include "road/call.h"
#include "road/instance.h"
#include "road/method_table.h"
#include "road/road.h"

namespace imctl::host {
namespace {

// Not of a module, here or on the host that forwards it, and it is to do something.
bool is_from_outside(const CallParams& params) {
  return params.caller == nullptr && params.caller_module.empty() &&
         (params.flags & IMCTL_DRY_RUN) == 0;
}

}  // namespace

void Dispatcher::start(Call& call) {
  call.join_parent();
  admit(call);
}

void Dispatcher::resume(Call& call) {
  if (call.wait_over()) admit(call);
}

void Dispatcher::resume(Call& call, std::shared_ptr<const Grant> grant,
                        std::shared_ptr<Identity> identity) {
  // Not before: who ends a call that waits looks at whose it is.
  if (!call.wait_over()) return;
  call.identify(std::move(grant), std::move(identity));
  admit(call);
}

void Dispatcher::refuse(Call& call, Status status) {
  if (!call.wait_over()) return;
  audit(call, status);
  call.refuse(*road_, std::move(status));
}

// Who may not come in, or not there; what cannot be done just now is no refusal.
void Dispatcher::audit(const Call& call, const Status& status) const {
  if (status.code() == IMCTL_UNAUTHENTICATED || status.code() == IMCTL_PERMISSION_DENIED) {
    road_->audit_refusal(call.params(), status);
  }
}

void Dispatcher::admit(Call& call) {
  call.ref();
  CallRef hold(&call);
  MethodSlot* target = call.params().target;
  for (;;) {
    std::shared_ptr<const Route> route = target->route();
    if (route == nullptr) route = road_->route_out(*target);
    if (route == nullptr) {
      call.refuse(*road_, road_->not_served(target->name()));
      return;
    }
    const MethodInfo& method = route->served->info;
    Status status;
    if (road_->bounds.checked) {
      status = check_bounds(call);
      if (status.ok() && (!call.params().token.empty() || !call.params().certified_user.empty())) {
        std::optional<Status> known = road_->identify(call);
        if (!known) {
          if (call.params().watch_deadline) call.watch_deadline(&road_->timer());
          call.wait();
          return;
        }
        status = std::move(*known);
      }
      if (status.ok()) status = check_access(call, method);
      audit(call, status);
      if (status.ok()) status = check_dry_run(call, method);
    }
    if (status.ok() && !method.client_streams && !call.params().request) {
      status = Status(IMCTL_RESOURCE_EXHAUSTED,
                      "there is no memory for the request, or it is over 2 GiB");
    }
    if (!status.ok()) {
      call.refuse(*road_, std::move(status));
      return;
    }
    if (method.audited && is_from_outside(call.params())) call.audit_as(route);
    Instance& instance = *route->instance;
    switch (instance.gate().enter(&call, call.params().request.size() + sizeof(Call),
                                  call.descends_from(&instance))) {
      case Gate::Entry::kInside:
        if (call.params().watch_deadline) call.watch_deadline(&road_->timer());
        if (method.client_streams || method.server_streams) call.open_for_identity();
        call.serve(route->instance, *route->served);
        return;
      case Gate::Entry::kHeld:
        if (call.params().watch_deadline) call.watch_deadline(&road_->timer());
        call.wait();
        return;
      case Gate::Entry::kFull:
        call.refuse(*road_, retry_later(IMCTL_RESOURCE_EXHAUSTED,
                                        "module " + instance.name() +
                                            " is being replaced and no more calls may wait for it "
                                            "(host.swap_hold_bytes): try again soon"));
        return;
      case Gate::Entry::kClosed:
        // Another may have taken its place since we looked.
        if (target->route() != route) continue;
        call.refuse(*road_, retry_later(IMCTL_UNAVAILABLE, "module " + instance.name() +
                                                               ", which serves " + target->name() +
                                                               ", is stopping: try again soon"));
        return;
    }
  }
}

Status Dispatcher::check_bounds(const Call& call) const {
  const CallParams& params = call.params();
  if (params.depth > road_->bounds.max_depth) {
    return {IMCTL_RESOURCE_EXHAUSTED,
            "calls made on behalf of one another are " + std::to_string(params.depth) +
                " deep at " + params.target->name() +
                ": modules call each other in a circle? (host.max_depth)"};
  }
  if (params.deadline != 0 && params.deadline <= monotonic_now()) {
    return {IMCTL_DEADLINE_EXCEEDED, "the deadline passed before the call began"};
  }
  if (road_->in_flight() + static_cast<int64_t>(params.request.size()) >
      road_->bounds.max_in_flight) {
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

Status Dispatcher::check_access(Call& call, const MethodInfo& method) const {
  const CallParams& params = call.params();
  if (method.access == Access::kPublic) return {};
  switch (params.principal_kind) {
    case IMCTL_PRINCIPAL_ADMIN: return {};
    case IMCTL_PRINCIPAL_MODULE: {
      if (params.caller != nullptr && params.caller->may_call(method.service)) return {};
      // The node looked at its manifest, and is believed in that as in all else it says.
      if (params.caller == nullptr && !params.node.empty()) return {};
      return {IMCTL_PERMISSION_DENIED, "module " + params.principal + " may call " +
                                           method.service +
                                           " as itself only if its manifest's needs name it"};
    }
    case IMCTL_PRINCIPAL_NODE:
      if (method.access == Access::kNode || method.access == Access::kUser) return {};
      return {IMCTL_PERMISSION_DENIED,
              "node " + params.principal + " may not call " + method.name + " as itself"};
    case IMCTL_PRINCIPAL_USER: {
      // The other host looked at what this user may do before it sent the call here.
      if (params.grant == nullptr && !params.node.empty()) return {};
      // Whom a front end vouches for without asking has no roles.
      std::shared_ptr<const Grant> grant = params.grant;
      if (grant == nullptr) {
        grant = std::make_shared<const Grant>(Grant{params.principal, {}, {}, {}, {}, {}});
      }
      Status status = check_grant(*grant, method);
      if (!status.ok() || method.access != Access::kSelf) return status;
      status = road_->check_owner(call, method);
      if (status.ok()) call.mark_own();
      return grant->has_role_for(method.name) ? Status() : status;
    }
    case IMCTL_PRINCIPAL_NONE: break;
  }
  return {IMCTL_UNAUTHENTICATED,
          method.name +
              " needs a credential: a token (`imctl login`), a certificate, or the host's "
              "own unix socket for its administrators"};
}

// All but whose it is.
Status Dispatcher::check_grant(const Grant& grant, const MethodInfo& method) {
  if (!grant.is_in_scope(method.name)) {
    return {IMCTL_PERMISSION_DENIED,
            grant.user + "'s token is not for " + method.name + ": its scope leaves it out"};
  }
  if (method.access == Access::kUser || method.access == Access::kSelf) return {};
  if (method.access == Access::kPublic || grant.has_role_for(method.name)) return {};
  return {IMCTL_PERMISSION_DENIED,
          grant.user + " may not call " + method.name + ": it is for " +
              (method.access == Access::kNode ? "nodes" : "administrators") +
              ", and for users with a role that has it"};
}

Status Dispatcher::check_again(const Call& call, const Grant& grant) {
  std::shared_ptr<const Route> route = call.params().target->route();
  if (route == nullptr) return {};
  const MethodInfo& method = route->served->info;
  Status status = check_grant(grant, method);
  if (!status.ok() || method.access != Access::kSelf) return status;
  if (call.is_own() || grant.has_role_for(method.name)) return {};
  return {IMCTL_PERMISSION_DENIED,
          grant.user + " has no role any more that lets them call " + method.name + " for others"};
}

}  // namespace imctl::host
