// The host: settings, modules, methods, the one road. Front ends stand on it; it needs none.
#ifndef IMCTL_HOST_CORE_HOST_H
#define IMCTL_HOST_CORE_HOST_H

#include <atomic>
#include <chrono>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <vector>

#include "core/data_lock.h"
#include "core/dispatcher.h"
#include "core/health.h"
#include "core/host_config.h"
#include "core/instance.h"
#include "core/log.h"
#include "core/method_table.h"
#include "core/metrics.h"
#include "core/settings.h"
#include "core/timer.h"
#include "imctl/status.h"

namespace imctl::host {

// What the host is opened with.
struct HostOptions {
  std::string config_file;       // empty: none
  std::vector<std::string> set;  // "section.key=value"
  std::map<std::string, std::string> environment;
  bool quiet = false;  // log warnings and errors only
};

class Host {
 public:
  // Reads the settings, locks the data folder, loads and starts every module. All or nothing: an
  // error says what, why and what to do, and leaves nothing running.
  static Result<std::unique_ptr<Host>> open(const HostOptions& options);
  Host(const Host&) = delete;
  Host& operator=(const Host&) = delete;
  // stop(). Ends the process if a module could not be stopped.
  ~Host();

  // Stops every module, what others need last. Calls may take until host.stop_timeout. Front ends
  // must take no more calls. Once.
  Status stop();

  const HostConfig& config() const { return config_; }
  Dispatcher& dispatcher() { return dispatcher_; }
  MethodTable& methods() { return methods_; }
  Timer& timer() { return timer_; }
  Log& log() { return *log_; }
  Health& health() { return health_; }
  Metrics& metrics() { return metrics_; }

  // The modules, in the order of their start; the host's own first.
  const std::vector<std::shared_ptr<Instance>>& modules() const { return modules_; }
  Instance* find_module(std::string_view name) const;
  // What a module says of itself: whether its services can do their work.
  void set_module_health(const Instance& instance, bool serving, std::string_view reason);
  // The SHA-256 over all manifests, in hex.
  const std::string& catalog_digest() const { return catalog_digest_; }

  // Bytes of requests in work.
  int64_t in_flight() const { return in_flight_.load(std::memory_order_relaxed); }
  void add_in_flight(int64_t bytes) { in_flight_.fetch_add(bytes, std::memory_order_relaxed); }

 private:
  // A module that is known to fit, before any of its code runs.
  struct Prepared {
    ModuleFile file;
    std::shared_ptr<Descriptors> descriptors;
    std::string config;  // serialized
    InstanceLimits limits;
  };

  Host();
  Status start(const HostOptions& options);
  static Result<Prepared> describe(SettingsSources& sources, ModuleFile file,
                                   const Descriptors& builtin);
  Status create(Prepared& module);
  Status activate(const std::shared_ptr<Instance>& instance);

  HostConfig config_;
  DataLock data_lock_;
  std::unique_ptr<Log> log_;
  Metrics metrics_;
  Health health_;
  MethodTable methods_;
  Timer timer_;
  Dispatcher dispatcher_{this};
  std::atomic<int64_t> in_flight_{0};
  std::vector<std::shared_ptr<Instance>> modules_;
  std::string catalog_digest_;
  bool stopped_ = false;
  bool stuck_ = false;
};

}  // namespace imctl::host

#endif  // IMCTL_HOST_CORE_HOST_H
