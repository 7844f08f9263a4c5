// One instance of a module: its code, its life, what it may use.
#ifndef IMCTL_HOST_CORE_INSTANCE_H
#define IMCTL_HOST_CORE_INSTANCE_H

#include <atomic>
#include <chrono>
#include <memory>
#include <mutex>
#include <string>
#include <unordered_set>
#include <vector>

#include "core/descriptors.h"
#include "core/gate.h"
#include "core/method_table.h"
#include "core/module_file.h"
#include "core/pool.h"
#include "imctl/module.h"
#include "imctl/status.h"

namespace imctl::host {

class Call;
class Host;
class Instance;

// The handle that a module gets, and how the host knows who speaks.
struct HostHandle : imctl_host {
  Host* host;
  Instance* instance;
};

// Bounds from the module's section (imctl.host.v1.ModuleConfig).
struct InstanceLimits {
  Pool::Limits pool;
  size_t stream_window = 64u << 10;
  size_t streams_memory = 64u << 20;
};

enum class InstanceState { kLoaded, kPrepared, kActive, kStopping, kStopped, kFailed };
const char* to_string(InstanceState state);

class Instance {
 public:
  // `module`: the ABI struct that `code` keeps mapped; `code` is empty for what is built in.
  Instance(Host* host, ModuleFile file, std::shared_ptr<Descriptors> descriptors,
           std::shared_ptr<const void> code, const imctl_module* module, InstanceLimits limits);
  Instance(const Instance&) = delete;
  Instance& operator=(const Instance&) = delete;
  ~Instance();

  const std::string& name() const { return file_.manifest.name(); }
  const Manifest& manifest() const { return file_.manifest; }
  const ModuleFile& file() const { return file_; }
  const Descriptors& descriptors() const { return *descriptors_; }
  InstanceState state() const { return state_.load(); }
  imctl_host* handle() { return &handle_; }
  Host* host() const { return host_; }
  Pool& pool() { return pool_; }
  Gate& gate() { return gate_; }
  const InstanceLimits& limits() const { return limits_; }
  bool may_call(std::string_view service) const;

  // Its life; [lifecycle]. The messages name the module.
  Status create();
  Status prepare(const std::string& config, const std::string& data_dir, const std::string& domain);
  Status activate();
  // Closes the gate, cancels streams, waits for calls until `until`, then cancels what is left.
  // Also after an activate that failed. If something is still inside after all, is_stuck().
  Status stop(std::chrono::steady_clock::time_point until);
  // Code of it may still run and call the host: neither may be taken away while the process lives.
  bool is_stuck() const { return stuck_; }
  // Destroys the instance and lets go of its code. Does nothing where stop could not.
  void destroy();

  // A handler for each method of each served service; after create.
  const std::vector<Served>& served() const { return served_; }

  // For calls in flight. True: it came while the streams were being cancelled, so it is to be too.
  bool track(Call* call, size_t request_bytes);
  void untrack(Call* call, size_t request_bytes);
  size_t stream_bytes() const {
    return static_cast<size_t>(stream_bytes_.load(std::memory_order_relaxed));
  }
  void add_stream_bytes(int64_t bytes) {
    stream_bytes_.fetch_add(bytes, std::memory_order_relaxed);
  }

 private:
  template <class Step>
  Status run(const char* step, Step&& function);
  Status find_handlers();
  void cancel_all(bool streams_only);
  Status stuck();

  Host* const host_;
  const ModuleFile file_;
  const std::shared_ptr<Descriptors> descriptors_;
  std::shared_ptr<const void> code_;
  const imctl_module* const module_;
  const InstanceLimits limits_;
  HostHandle handle_;
  std::atomic<InstanceState> state_{InstanceState::kLoaded};
  void* instance_ = nullptr;
  bool activated_ = false;
  bool stuck_ = false;
  std::vector<Served> served_;
  Gate gate_;
  std::mutex calls_mutex_;
  std::unordered_set<Call*> calls_;
  bool cancelling_streams_ = false;
  std::atomic<int64_t> stream_bytes_{0};
  Pool pool_;
};

}  // namespace imctl::host

#endif  // IMCTL_HOST_CORE_INSTANCE_H
