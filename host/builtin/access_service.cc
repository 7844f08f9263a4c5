#include "builtin/access_service.h"

#include <google/protobuf/descriptor.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <utility>

#include "builtin/authenticator_client.h"
#include "builtin/times.h"
#include "core/host.h"
#include "road/call.h"

namespace imctl::host {
namespace {

constexpr std::array<const char*, 5> kAccess = {"admin", "user", "self", "node", "public"};

const char* access_name(Access access) { return kAccess.at(static_cast<size_t>(access)); }

const char* kind_name(imctl_principal_kind kind) {
  switch (kind) {
    case IMCTL_PRINCIPAL_USER: return "user";
    case IMCTL_PRINCIPAL_NODE: return "node";
    case IMCTL_PRINCIPAL_ADMIN: return "admin";
    case IMCTL_PRINCIPAL_MODULE: return "module";
    case IMCTL_PRINCIPAL_NONE: break;
  }
  return "nobody";
}

// The role that has the method, or empty.
std::string role_for(const AccessRules& rules, const Grant& grant, const std::string& method) {
  for (const std::string& role : grant.roles) {
    auto globs = rules.roles.find(role);
    if (globs == rules.roles.end()) continue;
    for (const std::string& glob : globs->second) {
      if (stands_for(glob, method)) return role;
    }
  }
  return {};
}

void decide(const MethodInfo& method, const Grant& grant, const std::string& role,
            v1::CheckAccessResponse* reply) {
  auto say = [reply](const char* allowed, const std::string& why) {
    reply->set_allowed(allowed);
    reply->set_why(why);
  };
  if (!role.empty()) return say("yes", "the role " + role + " has it");
  switch (method.access) {
    case Access::kPublic: return say("yes", "anybody may");
    case Access::kUser: return say("yes", "every user may");
    case Access::kSelf: return say("own", "every user may, for what is their own");
    case Access::kNode: return say("no", "it is for nodes of the cluster");
    case Access::kAdmin: break;
  }
  std::string roles;
  for (const std::string& one : grant.roles) roles.append(roles.empty() ? "" : ", ").append(one);
  say("no", "it is for administrators, and no role of " + grant.user + " has it (" +
                (roles.empty() ? "there are none" : roles) + ")");
}

}  // namespace

AccessService::AccessService(Module& module, Host& host)
    : host_(host), resolve_(module.host(), "/imctl.auth.v1.Authenticator/Resolve") {
  module.serve("/imctl.host.v1.Access/WhoAmI", this, &AccessService::who_am_i);
  module.serve("/imctl.host.v1.Access/List", this, &AccessService::list);
  module.serve("/imctl.host.v1.Access/Check", this, &AccessService::check);
  module.serve("/imctl.host.v1.Access/ListRoles", this, &AccessService::list_roles);
}

Result<v1::WhoAmIResponse> AccessService::who_am_i(const v1::WhoAmIRequest& /*request*/,
                                                   const Context& context) {
  v1::WhoAmIResponse reply;
  reply.set_kind(kind_name(context.principal_kind()));
  reply.set_principal(std::string(context.principal()));
  const std::shared_ptr<const Grant>& grant = Call::from(context.call())->params().grant;
  if (grant == nullptr) return reply;
  for (const std::string& role : grant->roles) reply.add_roles(role);
  for (const std::string& glob : grant->scope) reply.add_scope(glob);
  if (grant->ends) set_time(*grant->ends, reply.mutable_expires());
  return reply;
}

Result<v1::ListAccessResponse> AccessService::list(const v1::ListAccessRequest& request,
                                                   const Context& /*context*/) {
  v1::ListAccessResponse reply;
  for (MethodSlot* slot : host_.methods().all()) {
    std::shared_ptr<const Route> route = slot->route();
    if (route == nullptr || !slot->address().empty()) continue;
    const MethodInfo& info = route->served->info;
    if (!request.filter().empty() && !stands_for(request.filter(), info.name)) continue;
    v1::MethodAccess* method = reply.add_methods();
    method->set_method(info.name.substr(1));
    method->set_access(access_name(info.access));
    method->set_effect(info.reads ? "reads" : "writes");
    method->set_module(route->instance->name());
    if (info.access == Access::kSelf) {
      const auto* request_type = info.descriptor->input_type();
      method->set_owner(request_type->FindFieldByNumber(static_cast<int>(info.owner))->name());
    }
    method->set_verb(info.verb);
  }
  std::sort(reply.mutable_methods()->begin(), reply.mutable_methods()->end(),
            [](const auto& a, const auto& b) { return a.method() < b.method(); });
  return reply;
}

Task<Result<v1::CheckAccessResponse>> AccessService::check(const v1::CheckAccessRequest& request,
                                                           const Context& /*context*/) {
  const std::string name =
      request.method().starts_with("/") ? request.method() : "/" + request.method();
  MethodSlot* slot = host_.methods().find_public(name);
  std::shared_ptr<const Route> route = slot == nullptr ? nullptr : slot->route();
  if (route == nullptr) {
    co_return Status(IMCTL_NOT_FOUND, "no loaded module serves " + name.substr(1, 200) +
                                          " (`imctl access list` shows what is served)");
  }
  if (request.user().empty()) co_return Status(IMCTL_INVALID_ARGUMENT, "user: who is it about?");
  auth::v1::ResolveRequest who;
  who.set_user(request.user());
  CallOptions options;
  options.timeout = std::chrono::seconds(10);
  // The module acts as itself: the question is the host's own.
  Result<auth::v1::Identity> identity = co_await resolve_(who, options);
  v1::CheckAccessResponse reply;
  if (identity.ok()) {
    std::shared_ptr<const Grant> grant = host_.access().grant_of(person_of(*identity));
    const MethodInfo& info = route->served->info;
    decide(info, *grant, role_for(*host_.access().rules(), *grant, info.name), &reply);
    co_return reply;
  }
  const Status& status = identity.status();
  if (status.code() != IMCTL_NOT_FOUND && status.code() != IMCTL_PERMISSION_DENIED) {
    co_return status;
  }
  reply.set_allowed("no");
  reply.set_why(status.message());
  co_return reply;
}

Result<v1::ListRolesResponse> AccessService::list_roles(const v1::ListRolesRequest& /*request*/,
                                                        const Context& /*context*/) {
  v1::ListRolesResponse reply;
  for (const auto& [name, globs] : host_.access().rules()->roles) {
    v1::Role* role = reply.add_roles();
    role->set_name(name);
    for (const std::string& glob : globs) role->add_methods(glob);
  }
  return reply;
}

}  // namespace imctl::host
