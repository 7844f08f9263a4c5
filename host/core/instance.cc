#include "core/instance.h"

#include <algorithm>
#include <cstring>
#include <map>
#include <utility>

#include "core/call.h"
#include "core/host.h"
#include "core/host_tables.h"

namespace imctl::host {
namespace {

// How long a cancelled call may take to end after its notice.
constexpr std::chrono::seconds kGrace{5};

}  // namespace

const char* to_string(InstanceState state) {
  switch (state) {
    case InstanceState::kLoaded: return "loaded";
    case InstanceState::kPrepared: return "prepared";
    case InstanceState::kActive: return "active";
    case InstanceState::kStopping: return "stopping";
    case InstanceState::kStopped: return "stopped";
    case InstanceState::kFailed: return "failed";
  }
  return "unknown";
}

Instance::Instance(Host* host, ModuleFile file, std::shared_ptr<Descriptors> descriptors,
                   std::shared_ptr<const void> code, const imctl_module* module,
                   InstanceLimits limits)
    : host_(host),
      file_(std::move(file)),
      descriptors_(std::move(descriptors)),
      code_(std::move(code)),
      module_(module),
      limits_(limits),
      pool_(name(), limits.pool) {
  static_cast<imctl_host&>(handle_) = host_functions();
  handle_.host = host;
  handle_.instance = this;
}

Instance::~Instance() { destroy(); }

void Instance::destroy() {
  if (stuck_) return;
  pool_.stop();
  if (instance_ != nullptr) module_->destroy(std::exchange(instance_, nullptr));
  code_.reset();
}

bool Instance::may_call(std::string_view service) const {
  return std::any_of(
      manifest().needs().begin(), manifest().needs().end(),
      [&](const Requirement& requirement) { return requirement.service() == service; });
}

// Runs a step of the module's life and puts its name before what it says.
template <class Step>
Status Instance::run(const char* step, Step&& function) {
  imctl_error error{sizeof(imctl_error), 0, {}};
  int32_t code = function(&error);
  if (code == IMCTL_OK) return {};
  state_ = InstanceState::kFailed;
  error.message[sizeof(error.message) - 1] = '\0';
  return {static_cast<imctl_code>(code),
          "module " + name() + ": " + step + ": " +
              (error.message[0] == '\0' ? "failed and gave no reason" : error.message)};
}

Status Instance::create() {
  if (module_ == nullptr || !IMCTL_HAS(module_, destroy) || module_->create == nullptr ||
      module_->methods == nullptr || module_->destroy == nullptr) {
    return {
        IMCTL_FAILED_PRECONDITION,
        "module " + name() + ": its imctl_module is too short or lacks create, methods or destroy"};
  }
  if (module_->abi != IMCTL_ABI) {
    return {IMCTL_FAILED_PRECONDITION, "module " + name() + ": its code says module ABI " +
                                           std::to_string(module_->abi) + ", its manifest another"};
  }
  Status status = run(
      "create", [&](imctl_error* error) { return module_->create(&handle_, &instance_, error); });
  if (!status.ok()) {
    instance_ = nullptr;
    return status;
  }
  return find_handlers();
}

Status Instance::find_handlers() {
  auto refuse = [&](const std::string& why) {
    return Status(IMCTL_FAILED_PRECONDITION, "module " + name() + ": " + why);
  };
  size_t count = 0;
  const imctl_method* method = module_->methods(instance_, &count);
  std::map<std::string, imctl_method, std::less<>> handlers;
  for (size_t i = 0; i < count; ++i) {
    if (!IMCTL_HAS(method, user) || method->start == nullptr) {
      return refuse("its method " + std::to_string(i) + " is too short or has no handler");
    }
    std::string method_name(to_view(method->name));
    imctl_method entry = *method;
    entry.name = {};
    if (!handlers.emplace(method_name, entry).second)
      return refuse("two handlers for " + method_name);
    method = reinterpret_cast<const imctl_method*>(reinterpret_cast<const char*>(method) +
                                                   method->struct_size);
  }
  for (const std::string& service : manifest().serves()) {
    const google::protobuf::ServiceDescriptor* descriptor = descriptors_->service(service);
    if (descriptor == nullptr)
      return refuse("it serves " + service + ", which its descriptors do not have");
    for (int i = 0; i < descriptor->method_count(); ++i) {
      MethodInfo info = MethodInfo::of(*descriptor->method(i));
      auto found = handlers.find(info.name);
      if (found == handlers.end()) return refuse("it has no handler for " + info.name);
      served_.push_back({std::move(info), found->second});
      handlers.erase(found);
    }
  }
  if (!handlers.empty()) {
    return refuse("its handler " + handlers.begin()->first +
                  " is for no method of the services it serves");
  }
  return {};
}

Status Instance::prepare(const std::string& config, const std::string& data_dir,
                         const std::string& domain) {
  imctl_settings settings{sizeof(imctl_settings), 0, to_str(config), to_str(data_dir),
                          to_str(domain)};
  Status status = run("prepare", [&](imctl_error* error) {
    return module_->prepare == nullptr ? IMCTL_OK : module_->prepare(instance_, &settings, error);
  });
  if (status.ok()) state_ = InstanceState::kPrepared;
  return status;
}

Status Instance::activate() {
  Status status = run("activate", [&](imctl_error* error) {
    return module_->activate == nullptr ? IMCTL_OK : module_->activate(instance_, error);
  });
  if (status.ok()) {
    state_ = InstanceState::kActive;
    activated_ = true;
    gate_.open();
  }
  return status;
}

Status Instance::stop(std::chrono::steady_clock::time_point until) {
  gate_.close();
  Status first;
  auto step = [&](Status status) {
    if (first.ok()) first = std::move(status);
  };
  if (activated_) {
    state_ = InstanceState::kStopping;
    step(run("quiesce", [&](imctl_error* error) {
      return module_->quiesce == nullptr ? IMCTL_OK : module_->quiesce(instance_, error);
    }));
    cancel_all(true);
    if (!gate_.wait_empty(until)) cancel_all(false);
  }
  // Work of the pool's and threads of the module's may make calls to their last moment: the gate is
  // looked at again after each of them has ended.
  until = std::max(until, std::chrono::steady_clock::now()) + kGrace;
  if (!gate_.wait_empty(until)) return stuck();
  pool_.stop();
  if (!gate_.wait_empty(until)) return stuck();
  if (activated_) {
    step(run("deactivate", [&](imctl_error* error) {
      return module_->deactivate == nullptr ? IMCTL_OK : module_->deactivate(instance_, error);
    }));
    if (!gate_.wait_empty(until)) return stuck();
  }
  activated_ = false;
  if (first.ok()) state_ = InstanceState::kStopped;
  return first;
}

Status Instance::stuck() {
  stuck_ = true;
  state_ = InstanceState::kFailed;
  return {IMCTL_DEADLINE_EXCEEDED,
          "module " + name() + ": " + std::to_string(gate_.inside()) +
              " calls did not end after they were cancelled: it cannot be unloaded"};
}

bool Instance::track(Call* call, size_t request_bytes) {
  host_->add_in_flight(static_cast<int64_t>(request_bytes));
  std::lock_guard lock(calls_mutex_);
  calls_.insert(call);
  return cancelling_streams_ && (call->method()->client_streams || call->method()->server_streams);
}

void Instance::untrack(Call* call, size_t request_bytes) {
  host_->add_in_flight(-static_cast<int64_t>(request_bytes));
  {
    std::lock_guard lock(calls_mutex_);
    calls_.erase(call);
  }
  gate_.leave();
}

void Instance::cancel_all(bool streams_only) {
  std::vector<CallRef> calls;
  {
    std::lock_guard lock(calls_mutex_);
    cancelling_streams_ = true;
    for (Call* call : calls_) {
      if (streams_only && !call->method()->client_streams && !call->method()->server_streams)
        continue;
      call->ref();
      calls.emplace_back(call);
    }
  }
  for (const CallRef& call : calls)
    call->cancel(IMCTL_UNAVAILABLE, "module " + name() + " is stopping");
}

}  // namespace imctl::host
