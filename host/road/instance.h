// One instance of a module: its life, who is inside it, what it may use.
#ifndef IMCTL_HOST_ROAD_INSTANCE_H
#define IMCTL_HOST_ROAD_INSTANCE_H

#include <array>
#include <atomic>
#include <chrono>
#include <memory>
#include <mutex>
#include <string>
#include <unordered_set>
#include <vector>

#include "imctl/module.h"
#include "imctl/status.h"
#include "road/gate.h"
#include "road/method_table.h"
#include "road/module_code.h"
#include "road/pool.h"
#include "road/rules.h"

namespace imctl::host {

class Call;
class Instance;
class Road;
struct Description;

// The handle that a module gets, and how the host knows who speaks.
struct HostHandle : imctl_host {
  Road* road;
  Instance* instance;
};

// Bounds from the module's section (imctl.host.v1.ModuleConfig).
struct InstanceLimits {
  Pool::Limits pool;
  size_t stream_window = 64u << 10;
  size_t streams_memory = 64u << 20;

  bool operator==(const InstanceLimits&) const = default;
};

// What an instance is, before any of its code runs.
struct InstanceSpec {
  std::string name;
  std::vector<std::string> needs;   // services that it may call as itself
  std::vector<MethodInfo> methods;  // of the services that it serves
  InstanceLimits limits;
  // Manifest, descriptors, settings; nullptr in the process of an isolated module.
  std::shared_ptr<const Description> description;
};

enum class InstanceState { kLoaded, kPrepared, kActive, kStopping, kStopped, kFailed };
const char* to_string(InstanceState state);

class Instance {
 public:
  Instance(Road* road, InstanceSpec spec, std::unique_ptr<ModuleCode> code);
  Instance(const Instance&) = delete;
  Instance& operator=(const Instance&) = delete;
  ~Instance();

  const std::string& name() const { return spec_.name; }
  const InstanceSpec& spec() const { return spec_; }
  const Description& description() const { return *spec_.description; }
  InstanceState state() const { return state_.load(); }
  imctl_host* handle() { return &handle_; }
  Road* road() const { return road_; }
  Pool& pool() { return pool_; }
  Gate& gate() { return gate_; }
  const InstanceLimits& limits() const { return spec_.limits; }
  bool may_call(std::string_view service) const;
  bool log_enabled(int32_t level) const {
    return level >= log_level_.load(std::memory_order_relaxed);
  }
  int32_t log_level() const { return log_level_.load(std::memory_order_relaxed); }
  // The road's level for it is another. [any]
  void log_level_changed();
  // Of its code; empty or 0 once that is gone.
  std::string where() const;
  uint64_t memory() const;

  // Its life; [lifecycle]. The messages name the module.
  Status create();
  Status prepare(const ModuleSettings& settings);
  // Calls may arrive when the gate is opened. Also again, after deactivate().
  Status activate();
  // Nobody new may be entering. Ends streams, waits for calls until `until`, then cancels what is
  // left. If something is still inside after all, is_stuck().
  Status drain(std::chrono::steady_clock::time_point until);
  Status deactivate();
  // Closes the gate and does both, also after an activate that failed.
  Status stop(std::chrono::steady_clock::time_point until);
  // Code of it may still run and call the host: neither may be taken away while the process lives.
  bool is_stuck() const { return stuck_; }
  // Destroys the instance and lets go of its code. Does nothing where stop could not.
  void destroy();

  // imctl.settings/1, while calls are served. UNIMPLEMENTED: the module does not offer it.
  Status apply(const ModuleSettings& settings);
  // What it was described with, or with what apply() has changed since; set by who calls that.
  std::shared_ptr<const Description> settings() const {
    std::lock_guard lock(settings_mutex_);
    return settings_;
  }
  void set_settings(std::shared_ptr<const Description> settings) {
    std::lock_guard lock(settings_mutex_);
    settings_.swap(settings);
  }

  // imctl.state/1; as a step of its life, while it is active.
  Result<ModuleCode::State> report();
  // Calls that it serves now.
  size_t calls_in_flight() const {
    std::lock_guard lock(calls_mutex_);
    return calls_.size();
  }

  // imctl.handover/1; after drain, before activate.
  Result<BufferRef> save();
  Status restore(const BufferRef& state);

  // Its code did what no module may; once a second for each rule it is logged, always counted.
  // [any]
  void broke(Rule rule, const std::string& how);

  // Whether its services can do their work, as the module says.
  void set_health(bool serving, std::string_view reason);
  bool is_serving() const { return serving_.load(); }
  std::string health_reason() const;

  // A handler for each method of each served service; after create.
  const std::vector<Served>& served() const { return served_; }

  // For calls in flight. True: it came while the streams were being ended, so it is to be too.
  bool track(Call* call, size_t request_bytes);
  void untrack(Call* call, size_t request_bytes);
  // What calls are told that are ended because the instance goes.
  Status leaving() const;
  size_t stream_bytes() const {
    return static_cast<size_t>(stream_bytes_.load(std::memory_order_relaxed));
  }
  void add_stream_bytes(int64_t bytes) {
    stream_bytes_.fetch_add(bytes, std::memory_order_relaxed);
  }

 private:
  Status in_words(const char* step, Status status);
  template <class Step>
  Status within_grace(const char* step, Step&& taken);
  Status find_handlers();
  std::vector<CallRef> calls_in_flight(bool streams_only);
  Status stuck();

  Road* const road_;
  const InstanceSpec spec_;
  const std::atomic<int32_t>& log_level_;
  mutable std::mutex settings_mutex_;
  std::shared_ptr<const Description> settings_;
  mutable std::mutex code_mutex_;  // for where() and memory() beside destroy()
  std::unique_ptr<ModuleCode> code_;
  HostHandle handle_;
  std::atomic<InstanceState> state_{InstanceState::kLoaded};
  bool created_ = false;
  bool activated_ = false;
  std::atomic<bool> stuck_{false};
  std::vector<Served> served_;
  Gate gate_;
  mutable std::mutex calls_mutex_;
  std::unordered_set<Call*> calls_;
  bool ending_streams_ = false;
  std::atomic<int64_t> stream_bytes_{0};
  std::array<std::atomic<int64_t>, kRules> told_breach_{};  // when
  std::atomic<bool> serving_{true};
  mutable std::mutex health_mutex_;
  std::string health_reason_;
  Pool pool_;
};

}  // namespace imctl::host

#endif  // IMCTL_HOST_ROAD_INSTANCE_H
