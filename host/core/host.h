// The host: settings, modules, methods, the one road. Front ends stand on it; it needs none.
#ifndef IMCTL_HOST_CORE_HOST_H
#define IMCTL_HOST_CORE_HOST_H

#include <chrono>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "core/access_control.h"
#include "core/addressed_hosts.h"
#include "core/audit_log.h"
#include "core/audit_request.h"
#include "core/call_rates.h"
#include "core/data_lock.h"
#include "core/health.h"
#include "core/host_config.h"
#include "core/log.h"
#include "core/module_admin.h"
#include "core/modules.h"
#include "core/plan.h"
#include "core/remote_hosts.h"
#include "core/settings.h"
#include "core/settings_admin.h"
#include "core/settings_history.h"
#include "imctl/status.h"
#include "road/instance.h"
#include "road/road.h"

namespace imctl::host {

// What the host is opened with.
struct HostOptions {
  std::string config_file;       // empty: none
  std::string new_config_file;   // where settings that verbs change are kept if there was none
  std::vector<std::string> set;  // "section.key=value"
  std::map<std::string, std::string> environment;
  bool quiet = false;  // log warnings and errors only
  // The road to other hosts; nullptr: there is none, and [bind] may name none.
  std::shared_ptr<RemoteHosts> remote_hosts;
};

class Host final : public Road {
 public:
  // Reads the settings, locks the data folder, loads and starts every module. All or nothing: an
  // error says what, why and what to do, and leaves nothing running.
  static Result<std::unique_ptr<Host>> open(HostOptions options);
  Host(const Host&) = delete;
  Host& operator=(const Host&) = delete;
  // stop(). Ends the process if a module could not be stopped.
  ~Host() override;

  // Stops every module, what others need last. Calls may take until host.stop_timeout. Front ends
  // must take no more calls. Once.
  Status stop();

  const HostOptions& options() const { return options_; }
  const HostConfig& config() const { return config_; }
  // What of it may change while it runs. [any]
  LiveConfig live() const;
  // Has it be so; what is not so then is as it was.
  Status apply(const LiveConfig& live);
  Log& log() { return *log_; }
  AuditLog& audit() { return *audit_; }
  AuditRequests& audit_requests() { return audit_requests_; }
  Health& health() { return health_; }
  Modules& modules() { return modules_; }
  const Modules& modules() const { return modules_; }
  ModuleAdmin& module_admin() { return module_admin_; }
  SettingsAdmin& settings_admin() { return settings_admin_; }
  SettingsStore& settings() { return *settings_; }
  AccessControl& access() { return access_; }
  // One change of the settings or the modules at a time: waits until no other is under way.
  std::unique_lock<std::mutex> take_turn() { return std::unique_lock(turn_); }
  // When it was, in nanoseconds of CLOCK_MONOTONIC.
  int64_t started() const { return started_; }
  const CallRates& rates() const { return rates_; }
  // Where calls come in, "HOST:PORT" or "unix:PATH": told by whoever lets them in. [any]
  void set_listening(std::vector<std::string> addresses) {
    std::lock_guard lock(live_mutex_);
    listening_ = std::move(addresses);
  }
  std::vector<std::string> listening() const {
    std::lock_guard lock(live_mutex_);
    return listening_;
  }
  // The running module of that name, or nullptr. [any]
  std::shared_ptr<Instance> find_module(std::string_view name) const;

  // What the settings ask for now. Nothing is changed.
  struct PlanOptions {
    // The content of the config file as it would be; nullptr: as it is on disk.
    const std::string* content = nullptr;
    std::string name{};  // what errors call that; empty: as the file
    // Other hosts are asked what they serve, which may take seconds; else they count as they are.
    bool ask_others = true;
  };
  Result<Plan> plan(const PlanOptions& options) const;

  // Which lines of a module are logged; `time`: for how long, then it falls back by itself.
  void set_log_level(const std::string& module, imctl_log_level level,
                     std::optional<std::chrono::nanoseconds> time);

  // ---- of Road
  void write_log(imctl_log_level level, std::string_view module, const Call* call,
                 std::string_view text) override;
  const std::atomic<int32_t>& log_level(std::string_view module) override;
  void health_changed(Instance& instance) override;
  Result<BufferRef> to_json(const Instance& instance, std::string_view type,
                            std::string_view message) override;
  Result<BufferRef> from_json(const Instance& instance, std::string_view type,
                              std::string_view json) override;
  void audit_end(const CallParams& params, const Route& route, std::string_view request,
                 const Status& status) override;
  void audit_refusal(const CallParams& params, const Status& status) override;
  Status not_served(std::string_view method) const override;
  std::optional<Status> identify(Call& call) override { return access_.identify(call); }
  Status check_owner(const Call& call, const MethodInfo& method) override {
    return AccessControl::check_owner(call, method);
  }
  std::shared_ptr<const Route> route_out(MethodSlot& method) override {
    const std::string address(method.address());
    if (address.empty()) return nullptr;
    return is_remote_address(address) ? addressed_.route(method) : modules_.route_to(method);
  }
  const void* extra_table(const Instance& instance, std::string_view name) override;

 private:
  explicit Host(HostOptions options);
  Status start();
  void log_levels_changed();
  AuditRecord own_record(const char* kind) const;
  // The module that says who callers are did something: maybe it took a right away. The next call of
  // each asks again, from before the answer on.
  void doubt_after(const Route& route, const Status& status);
  // The other host as it is described now, or as one of which nothing is known.
  std::shared_ptr<const Description> as_known(const std::string& address) const;
  Result<std::unique_ptr<ModuleCode>> make_code(
      const std::shared_ptr<const Description>& description);

  const HostOptions options_;
  HostConfig config_;
  DataLock data_lock_;
  std::unique_ptr<Log> log_;
  std::unique_ptr<AuditLog> audit_;
  AuditRequests audit_requests_;
  Health health_;
  std::shared_ptr<const Description> builtin_;
  std::unique_ptr<SettingsStore> settings_;
  AccessControl access_{this};
  Modules modules_;
  AddressedHosts addressed_{this};
  ModuleAdmin module_admin_{this};
  SettingsAdmin settings_admin_{this};
  std::mutex turn_;
  const int64_t started_ = monotonic_now();
  CallRates rates_{&methods(), &metrics(), &timer()};
  mutable std::mutex live_mutex_;
  LiveConfig live_;
  std::vector<std::string> listening_;
  bool stopped_ = false;
};

// The table by which the module that is built in reaches the host itself; nobody else gets it.
constexpr std::string_view kBuiltinTable = "imctl.builtin/0";

}  // namespace imctl::host

#endif  // IMCTL_HOST_CORE_HOST_H
