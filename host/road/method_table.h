// Methods by name. A slot lives as long as the host; who serves it comes and goes.
#ifndef IMCTL_HOST_ROAD_METHOD_TABLE_H
#define IMCTL_HOST_ROAD_METHOD_TABLE_H

#include <array>
#include <atomic>
#include <cstdint>
#include <memory>
#include <mutex>
#include <shared_mutex>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "imctl/module.h"
#include "road/latency.h"

struct imctl_target {};

namespace google::protobuf {
class MethodDescriptor;
}

namespace imctl::host {

class Instance;

// Who may call a method: imctl.Access.
enum class Access : int32_t { kAdmin = 0, kUser = 1, kSelf = 2, kNode = 3, kPublic = 4 };

// What a method's descriptor says.
struct MethodInfo {
  std::string name;     // "/package.Service/Method"
  std::string service;  // "package.Service"
  std::string verb;     // "user add"; empty: none
  bool client_streams = false;
  bool server_streams = false;
  bool blocking = false;
  bool dry_run = false;  // may be called with the dry-run flag
  bool reads = false;    // it changes nothing
  bool audited = false;  // calls of it from outside are recorded
  Access access = Access::kAdmin;
  uint32_t owner = 0;  // number of the request's field that names the owner, for kSelf
  // Of the module's own descriptors; nullptr in the process of an isolated module.
  const google::protobuf::MethodDescriptor* descriptor = nullptr;
};

// A method and the handler that a module has for it.
struct Served {
  MethodInfo info;
  imctl_method entry;
};

struct Route {
  std::shared_ptr<Instance> instance;
  const Served* served;  // the instance's
};

class MethodSlot : public imctl_target {
 public:
  static constexpr size_t kCodes = 17;

  explicit MethodSlot(std::string name) : name_(std::move(name)) {}

  const std::string& name() const { return name_; }
  std::string_view service() const;  // "package.Service"
  // Of "/package.Service/Method@grpc://HOST:PORT": what stands behind the @. Empty: it is served
  // wherever the settings say.
  std::string_view address() const;

  std::shared_ptr<const Route> route() const {
    std::lock_guard lock(mutex_);
    return route_;
  }
  void set_route(std::shared_ptr<const Route> route) {
    std::lock_guard lock(mutex_);
    route_.swap(route);
  }

  // A call ended with `code` after that many nanoseconds.
  void count(int32_t code, int64_t nanoseconds);
  uint64_t ended(size_t code) const { return ended_[code].load(std::memory_order_relaxed); }
  double seconds() const {
    return static_cast<double>(nanoseconds_.load(std::memory_order_relaxed)) / 1e9;
  }
  const Latency& latency() const { return latency_; }

 private:
  const std::string name_;
  mutable std::mutex mutex_;
  std::shared_ptr<const Route> route_;
  std::array<std::atomic<uint64_t>, kCodes> ended_{};
  std::atomic<uint64_t> nanoseconds_{0};
  Latency latency_;
};

class MethodTable {
 public:
  // The slot of that name, made if need be. Names come from modules and descriptors, never from the
  // wire.
  MethodSlot* slot(std::string_view name);
  // nullptr if there is none, or its name has an address: for names from outside.
  MethodSlot* find_public(std::string_view name) const;
  // nullptr if there is none.
  MethodSlot* find(std::string_view name) const;
  std::vector<MethodSlot*> all() const;

 private:
  struct Hash {
    using is_transparent = void;
    size_t operator()(std::string_view text) const { return std::hash<std::string_view>()(text); }
  };
  mutable std::shared_mutex mutex_;
  std::unordered_map<std::string, std::unique_ptr<MethodSlot>, Hash, std::equal_to<>> slots_;
};

}  // namespace imctl::host

#endif  // IMCTL_HOST_ROAD_METHOD_TABLE_H
