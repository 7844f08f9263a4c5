#include <memory>
#include <string>

#include "builtin/access_service.h"
#include "builtin/audit_service.h"
#include "builtin/authenticator_client.h"
#include "builtin/builtin.h"
#include "builtin/debug_service.h"
#include "builtin/log_service.h"
#include "builtin/metric_messages.h"
#include "builtin/module_messages.h"
#include "builtin/reflection.h"
#include "builtin/settings_service.h"
#include "builtin/status_service.h"
#include "core/host.h"
#include "grpc/health/v1/health.pb.h"
#include "grpc/reflection/v1/reflection.pb.h"
#include "grpc/reflection/v1alpha/reflection.pb.h"
#include "imctl/host/v1/host.pb.h"
#include "imctl/sdk.h"

extern "C" const char imctl_manifest_begin[];
extern "C" const char imctl_manifest_end[];

namespace imctl::host {
namespace {

namespace v1 = imctl::host::v1;
namespace health = grpc::health::v1;

class HostModule : public Module {
 public:
  explicit HostModule(const imctl::Host& handle)
      : Module(handle),
        host_(*const_cast<host::Host*>(handle.table<host::Host>(kBuiltinTable.data()))) {
    serve("/imctl.host.v1.Modules/List", &HostModule::list_modules);
    serve("/imctl.host.v1.Modules/Enable", &HostModule::enable_modules);
    serve("/imctl.host.v1.Modules/Disable", &HostModule::disable_module);
    serve("/imctl.host.v1.Modules/Reload", &HostModule::reload_module);
    serve("/imctl.host.v1.Modules/Upgrade", &HostModule::upgrade_module);
    serve("/imctl.host.v1.Modules/Rollback", &HostModule::rollback_module);
    serve("/imctl.host.v1.Catalog/Get", &HostModule::get_catalog);
    serve("/imctl.host.v1.Metrics/List", &HostModule::list_metrics);
    serve("/grpc.health.v1.Health/Check", &HostModule::check_health);
    serve("/grpc.health.v1.Health/Watch", &HostModule::watch_health);
    serve("/grpc.reflection.v1.ServerReflection/ServerReflectionInfo", &HostModule::reflect);
    serve("/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo",
          &HostModule::reflect_alpha);
  }

  Status activate() override {
    authenticator_ = AuthenticatorClient::make(this->Module::host(), host_);
    host_.access().set_authenticator(authenticator_);
    authenticator_->start();
    return {};
  }
  Status quiesce() override {
    host_.access().set_authenticator(nullptr);
    authenticator_->stop();
    return {};
  }
  void report(State& state) override {
    const AccessControl::Facts facts = host_.access().facts();
    state.add("credentials_kept", facts.known);
    state.add("calls_waiting_for_authenticator", facts.waiting);
    state.add("streams_of_users", facts.streams);
    state.add("changes_of_users_are_told", facts.watching ? "yes" : "no");
  }

 private:
  Result<v1::ListModulesResponse> list_modules(const v1::ListModulesRequest&, const Context&) {
    return host::list_modules(host_);
  }
  Result<v1::ChangeModulesResponse> enable_modules(const v1::EnableModulesRequest& request,
                                                   const Context& context) {
    return change_modules(host_.module_admin().enable(
        {request.names().begin(), request.names().end()}, author(context)));
  }
  Result<v1::ChangeModulesResponse> disable_module(const v1::DisableModuleRequest& request,
                                                   const Context& context) {
    return change_modules(
        host_.module_admin().disable(request.name(), request.cascade(), author(context)));
  }
  Result<v1::ChangeModulesResponse> reload_module(const v1::ReloadModuleRequest& request,
                                                  const Context& context) {
    return change_modules(host_.module_admin().reload(request.name(), author(context)));
  }
  Result<v1::ChangeModulesResponse> upgrade_module(const v1::UpgradeModuleRequest& request,
                                                   const Context& context) {
    return change_modules(host_.module_admin().upgrade(request.name(), request.content(),
                                                       request.signature(), author(context)));
  }
  Result<v1::ChangeModulesResponse> rollback_module(const v1::RollbackModuleRequest& request,
                                                    const Context& context) {
    return change_modules(host_.module_admin().rollback(request.name(), author(context)));
  }
  static Author author(const Context& context) {
    return {
        std::string(context.principal()), context.dry_run(), {}, std::string(context.call_id())};
  }

  Result<v1::GetCatalogResponse> get_catalog(const v1::GetCatalogRequest& request, const Context&) {
    std::shared_ptr<const host::Modules::View> view = host_.modules().view();
    v1::GetCatalogResponse reply;
    reply.set_digest(view->digest);
    reply.set_version(IMCTL_VERSION);
    if (request.known_digest() == view->digest) return reply;
    for (const std::string& manifest : view->manifests) reply.add_manifests(manifest);
    return reply;
  }

  Result<v1::ListMetricsResponse> list_metrics(const v1::ListMetricsRequest& request,
                                               const Context&) {
    return host::list_metrics(host_, request.prefix());
  }

  Result<health::HealthCheckResponse> check_health(const health::HealthCheckRequest& request,
                                                   const Context&) {
    std::optional<bool> serving = host_.health().get(request.service());
    if (!serving) return Status(IMCTL_NOT_FOUND, "no module serves " + request.service());
    health::HealthCheckResponse reply;
    reply.set_status(*serving ? health::HealthCheckResponse::SERVING
                              : health::HealthCheckResponse::NOT_SERVING);
    return reply;
  }

  // Tells the state at once and then each change.
  Task<Status> watch_health(const health::HealthCheckRequest& request,
                            Writer<health::HealthCheckResponse>& writer) {
    auto changed = std::make_shared<Event>();
    writer.on_cancel([changed](imctl_code) { changed->set(); });
    uint64_t watch = host_.health().watch([changed] { changed->set(); });
    int told = -1;
    while (!writer.context().cancelled()) {
      std::optional<bool> serving = host_.health().get(request.service());
      health::HealthCheckResponse reply;
      reply.set_status(!serving   ? health::HealthCheckResponse::SERVICE_UNKNOWN
                       : *serving ? health::HealthCheckResponse::SERVING
                                  : health::HealthCheckResponse::NOT_SERVING);
      if (reply.status() != told && !co_await writer.write(reply)) break;
      told = reply.status();
      co_await *changed;
    }
    host_.health().unwatch(watch);
    co_return Status(IMCTL_CANCELLED, "the watch ended");
  }

  Task<Status> reflect(Stream<grpc::reflection::v1::ServerReflectionRequest,
                              grpc::reflection::v1::ServerReflectionResponse>& stream) {
    return answer_reflection(host_, stream);
  }
  Task<Status> reflect_alpha(Stream<grpc::reflection::v1alpha::ServerReflectionRequest,
                                    grpc::reflection::v1alpha::ServerReflectionResponse>& stream) {
    return answer_reflection(host_, stream);
  }

  host::Host& host_;
  SettingsService settings_{*this, host_};
  LogService logs_{*this, host_};
  AuditService audit_{*this, host_};
  StatusService status_{*this, host_};
  DebugService debug_{*this, host_};
  AccessService access_{*this, host_};
  std::shared_ptr<AuthenticatorClient> authenticator_;
};

}  // namespace

std::string builtin_manifest() { return {imctl_manifest_begin, imctl_manifest_end}; }

const imctl_module* builtin_module() { return &imctl::detail::ModuleEntry<HostModule>::kModule; }

}  // namespace imctl::host
