// What calls, instances and the ABI's tables stand on: methods by name, the dispatcher, a timer,
// bounds. The host is one road; the small process that runs an isolated module is another. Neither
// gRPC nor protobuf is needed here.
#ifndef IMCTL_HOST_ROAD_ROAD_H
#define IMCTL_HOST_ROAD_ROAD_H

#include <atomic>
#include <cstdint>
#include <memory>
#include <optional>
#include <string_view>

#include "imctl/module.h"
#include "imctl/status.h"
#include "road/buffer.h"
#include "road/dispatcher.h"
#include "road/method_table.h"
#include "road/metrics.h"
#include "road/timer.h"

namespace imctl::host {

class Call;
class Instance;
struct CallParams;

class Road {
 public:
  Road() = default;
  Road(const Road&) = delete;
  Road& operator=(const Road&) = delete;
  virtual ~Road() = default;

  Dispatcher& dispatcher() { return dispatcher_; }
  MethodTable& methods() { return methods_; }
  Timer& timer() { return timer_; }
  Metrics& metrics() { return metrics_; }

  // Bytes of requests in work.
  int64_t in_flight() const { return in_flight_.load(std::memory_order_relaxed); }
  void add_in_flight(int64_t bytes) { in_flight_.fetch_add(bytes, std::memory_order_relaxed); }

  // Bounds of all calls.
  struct Bounds {
    std::atomic<uint32_t> max_depth{16};
    std::atomic<int64_t> max_in_flight{INT64_MAX};
    // How long a call may go on after it was cancelled, and a step of stopping take, before that is
    // told of the module; nanoseconds. Set before the first call.
    int64_t grace = 5'000'000'000;
    // Whether it is said when a handler keeps a thread of the host. Set before the first.
    bool watch_handlers = false;
    // Else calls come from a road that checked them, and go to one that will. Set before the first.
    bool checked = true;
  };
  Bounds bounds;

  // Whether a line is logged for each call that ends.
  bool logs_calls() const { return logs_calls_.load(std::memory_order_relaxed); }
  void set_logs_calls(bool on) { logs_calls_.store(on, std::memory_order_relaxed); }

  // A line of `module` if it logs that level. `call`: that it is about, or nullptr.
  void log(imctl_log_level level, std::string_view module, const Call* call,
           std::string_view text) {
    if (level >= log_level(module).load(std::memory_order_relaxed)) {
      write_log(level, module, call, text);
    }
  }

  // What differs from road to road. All of it from any thread.

  // Whatever the module's level is: who calls has looked at it.
  virtual void write_log(imctl_log_level level, std::string_view module, const Call* call,
                         std::string_view text) = 0;
  // The lowest level that is logged of a module, as it is at any time; lives as long as the road.
  virtual const std::atomic<int32_t>& log_level(std::string_view module) = 0;
  // A module said whether its services can do their work; it is in the instance already.
  virtual void health_changed(Instance& instance) = 0;
  // Messages of the module's own descriptors, for imctl.json/1.
  virtual Result<BufferRef> to_json(const Instance& instance, std::string_view type,
                                    std::string_view message) = 0;
  virtual Result<BufferRef> from_json(const Instance& instance, std::string_view type,
                                      std::string_view json) = 0;
  // A call that is audited ended so. Its caller is told when this returns.
  virtual void audit_end(const CallParams& /*params*/, const Route& /*route*/,
                         std::string_view /*request*/, const Status& /*status*/) {}
  // A caller was refused: nobody knows who it is, or it may not do what it asks for.
  virtual void audit_refusal(const CallParams& /*params*/, const Status& /*status*/) {}
  // Why nobody serves that method.
  virtual Status not_served(std::string_view method) const = 0;
  // Looks at the credential that the call brings, its token or its certificate's user: OK, and the
  // call is identified, or why not. Nothing: the call is to wait; it will be resumed, or refused.
  virtual std::optional<Status> identify(Call& call);
  // Is what the request is about the calling user's own?
  virtual Status check_owner(const Call& call, const MethodInfo& method);
  // Where calls of a method go that nobody here serves, or nullptr.
  virtual std::shared_ptr<const Route> route_out(MethodSlot& /*method*/) { return nullptr; }
  // A table of the road's own, or nullptr.
  virtual const void* extra_table(const Instance& /*instance*/, std::string_view /*name*/) {
    return nullptr;
  }

 private:
  MethodTable methods_;
  Metrics metrics_;
  Timer timer_;
  Dispatcher dispatcher_{this};
  std::atomic<int64_t> in_flight_{0};
  std::atomic<bool> logs_calls_{false};
};

}  // namespace imctl::host

#endif  // IMCTL_HOST_ROAD_ROAD_H
