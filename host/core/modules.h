// The modules that run: started, stopped and replaced as a plan says, while calls go on.
#ifndef IMCTL_HOST_CORE_MODULES_H
#define IMCTL_HOST_CORE_MODULES_H

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "core/plan.h"
#include "imctl/status.h"
#include "road/instance.h"

namespace imctl::host {

class Host;

// How a replacement went.
struct SwapReport {
  std::string module;
  uint64_t held = 0;                   // calls that waited
  std::chrono::nanoseconds paused{0};  // for how long calls waited at most
};

class Modules {
 public:
  using List = std::vector<std::shared_ptr<Instance>>;
  using MakeCode =
      std::function<Result<std::unique_ptr<ModuleCode>>(const std::shared_ptr<const Description>&)>;

  // What everybody sees. Immutable: a change makes another.
  struct View {
    List modules;  // in the order of their start; the host's own first
    std::map<std::string, std::string> providers;
    std::vector<OffModule> off;
    // For clients: the manifests, with the services that each is chosen to serve; a SHA-256 in hex.
    std::vector<std::string> manifests;
    std::string digest;
  };

  Modules(Host* host, MakeCode make_code) : host_(host), make_code_(std::move(make_code)) {}
  Modules(const Modules&) = delete;
  Modules& operator=(const Modules&) = delete;

  // [any]
  std::shared_ptr<const View> view() const {
    std::lock_guard lock(view_mutex_);
    return view_;
  }

  // Makes the modules be what `plan` says: what is new is started, what is gone is stopped, what
  // changed is replaced while calls wait. `only`: touches no others; empty: all. `again`: these are
  // replaced even if nothing changed. What cannot be is undone, and the error says what and why.
  // One at a time; may take long.
  Result<std::vector<SwapReport>> apply(const Plan& plan, const std::set<std::string>& only = {},
                                        const std::set<std::string>& again = {});

  // Would an instance of it accept its settings? One is made beside what runs, and goes again.
  Status probe(const std::shared_ptr<const Description>& description);
  // Gives a running module the settings of `description`, all else of which is as its own.
  // UNIMPLEMENTED: it takes none while it runs.
  Status apply_settings(Instance& instance, std::shared_ptr<const Description> description);

  // What the instance says of itself; UNAVAILABLE while modules are being changed or stopped, which it
  // does not wait for.
  Result<ModuleCode::State> report(Instance& instance);

  // Where calls of "/package.Service/Method@MODULE" go: to that module, whoever else the service is
  // bound to; nullptr: no such module runs, or it does not serve that. [any]
  std::shared_ptr<const Route> route_to(MethodSlot& method) const;

  // Stops all, what others need last. For good.
  Status stop(std::chrono::steady_clock::time_point until);
  // Code of a module still runs that could not be stopped.
  bool is_stuck() const { return stuck_; }

  // An instance said something of its health. [any]
  void health_changed();

 private:
  struct Change;

  ModuleSettings settings_of(const Description& description) const;
  Status create(const std::shared_ptr<const Description>& description,
                std::shared_ptr<Instance>* made);
  Status carry_out(Change& change);
  Status start(const std::shared_ptr<Instance>& fresh);
  Status stop(const std::shared_ptr<Instance>& old, std::chrono::steady_clock::time_point until);
  // Puts `fresh` in the place of `old`, which is left deactivated; else `old` serves again.
  Status replace(const std::shared_ptr<Instance>& old, const std::shared_ptr<Instance>& fresh,
                 SwapReport* report);
  Status replace_beside(const std::shared_ptr<Instance>& old,
                        const std::shared_ptr<Instance>& fresh);
  Status stays_healthy(Instance& fresh, std::chrono::steady_clock::time_point until);
  void retire(const std::shared_ptr<Instance>& instance);
  // Shows `modules_` to everybody: routes, health, catalog.
  void publish();

  Host* const host_;
  const MakeCode make_code_;
  std::mutex change_mutex_;  // one change at a time; guards what follows
  List modules_;
  std::map<std::string, std::string> providers_;
  std::vector<OffModule> off_;
  bool stopped_ = false;
  std::atomic<bool> stuck_{false};

  // Held while routes and the view are changed together, and by who makes one route from the view.
  mutable std::mutex routes_mutex_;
  mutable std::mutex view_mutex_;
  std::shared_ptr<const View> view_ = std::make_shared<View>();
  std::mutex health_mutex_;
  std::condition_variable health_changed_;
};

}  // namespace imctl::host

#endif  // IMCTL_HOST_CORE_MODULES_H
