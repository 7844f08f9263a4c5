#include "runner/runner.h"

#include <dlfcn.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <functional>
#include <utility>
#include <vector>

#include "link/wire.h"
#include "road/abi_code.h"
#include "road/call.h"
#include "runner/crash.h"
#include "runner/module_once.h"

namespace imctl::host {
namespace {

constexpr std::chrono::seconds kMetricsEvery{1};
// Lines for the log are dropped rather than kept when the host does not take them.
constexpr size_t kMostQueuedForLog = size_t{4} << 20;
constexpr size_t kLongestLine = size_t{64} << 10;

// What the host serves, as an instance of this road.
class HostCode final : public ModuleCode {
 public:
  Status create(imctl_host* /*host*/) override { return {}; }
  Result<std::map<std::string, imctl_method>> methods() override {
    return std::map<std::string, imctl_method>();
  }
  Status prepare(const ModuleSettings& /*settings*/) override { return {}; }
  Status activate() override { return {}; }
  Status quiesce() override { return {}; }
  Status deactivate() override { return {}; }
  void destroy() override {}
  std::string where() const override { return "the host"; }
};

Result<const imctl_module*> load(const std::string& file) {
  // Never closed: the process ends with the module.
  void* library = dlopen(file.c_str(), RTLD_NOW | RTLD_LOCAL);
  if (library == nullptr) {
    return Status(IMCTL_FAILED_PRECONDITION, std::string("cannot be loaded: ") + dlerror());
  }
  auto entry = reinterpret_cast<imctl_module_entry_fn>(dlsym(library, IMCTL_MODULE_ENTRY));
  if (entry == nullptr) {
    return Status(IMCTL_FAILED_PRECONDITION,
                  "cannot be loaded: it has no symbol " IMCTL_MODULE_ENTRY);
  }
  const imctl_module* module = entry();
  if (module == nullptr) {
    return Status(IMCTL_FAILED_PRECONDITION, "it refuses to be loaded here");
  }
  return module;
}

}  // namespace

Runner::Runner(Hello hello) : hello_(std::move(hello)), log_level_(hello_.log_level) {
  bounds.max_depth = UINT32_MAX;
  bounds.checked = false;
  InstanceSpec spec;
  spec.name = "host";
  spec.limits = hello_.limits;
  out_ = std::make_shared<Instance>(this, std::move(spec), std::make_unique<HostCode>());
  (void)out_->gate().open();
}

void Runner::run(int link) {
  Bridge::Options options;
  options.end = Bridge::End::kModule;
  options.name = hello_.name;
  options.window = hello_.limits.stream_window;
  options.held = hello_.limits.streams_memory;
  auto bridge = Bridge::make(link, options, this, this);
  if (!bridge.ok()) on_violation(bridge.status().message());
  bridge_ = std::move(*bridge);
  HeadWriter out;
  out.str(link_build());
  bridge_->send(FrameType::kHello, 0, out.bytes());
  Status status = bridge_->start();
  if (!status.ok()) on_violation(status.message());
  std::unique_lock lock(mutex_);
  for (;;) {
    if (controls_.empty()) {
      wake_.wait_for(lock, kMetricsEvery, [this] { return !controls_.empty(); });
    }
    if (controls_.empty()) {
      lock.unlock();
      send_metrics();
      lock.lock();
      continue;
    }
    Control control = std::move(controls_.front());
    controls_.pop_front();
    lock.unlock();
    answer(control);
    lock.lock();
  }
}

// ---- the module's life; on the main thread

void Runner::answer(const Control& control) {
  HeadReader in(control.head);
  auto step = static_cast<Step>(in.u8());
  Result<BufferRef> result = carry_out(step, in, control.tail);
  // Instances name the module and the step: the host's own will.
  std::string message = result.status().message();
  std::string prefix = "module " + hello_.name + ": ";
  if (message.compare(0, prefix.size(), prefix) == 0) message.erase(0, prefix.size());
  for (const char* name : {"create: ", "prepare: ", "activate: ", "quiesce: ", "deactivate: ",
                           "save: ", "restore: "}) {
    std::string_view text = name;
    if (message.compare(0, text.size(), text) == 0) {
      message.erase(0, text.size());
      break;
    }
  }
  send_metrics();
  FinishFrame frame{result.status().code(), message, {}, {}};
  BufferRef tail = result.ok() ? *result : BufferRef();
  if (tail.size() > kMaxFramePart) {
    frame = {IMCTL_RESOURCE_EXHAUSTED, "its state is too large", {}, {}};
    tail = BufferRef();
  }
  bridge_->send(FrameType::kControlReply, control.id, encode(frame), std::move(tail));
}

Result<BufferRef> Runner::carry_out(Step step, HeadReader& in, const BufferRef& tail) {
  auto done = [](const Status& status) -> Result<BufferRef> {
    if (!status.ok()) return status;
    return BufferRef();
  };
  if (step != Step::kCreate && module_ == nullptr) {
    return Status(IMCTL_FAILED_PRECONDITION, "there is no instance");
  }
  switch (step) {
    case Step::kCreate: return done(create());
    case Step::kPrepare:
    case Step::kApply: {
      ModuleSettings settings;
      settings.config = in.str();
      settings.data_dir = in.str();
      settings.domain = in.str();
      return done(step == Step::kPrepare ? module_->prepare(settings) : module_->apply(settings));
    }
    case Step::kActivate: {
      Status status = module_->activate();
      if (status.ok()) (void)module_->gate().open();
      return done(status);
    }
    case Step::kQuiesce: return done(code_->quiesce());
    case Step::kDeactivate: {
      Status drained = drain();
      Status status = module_->deactivate();
      return done(drained.ok() ? status : drained);
    }
    case Step::kSave: {
      Status status = drain();
      if (!status.ok()) return status;
      return module_->save();
    }
    case Step::kState: {
      Result<ModuleCode::State> state = module_->report();
      if (!state.ok()) return state.status();
      HeadWriter out;
      for (const auto& [name, value] : *state) {
        out.str(name);
        out.str(value);
      }
      return BufferRef::copy_of(out.bytes());
    }
    case Step::kRestore: return done(module_->restore(tail));
    case Step::kDestroy: module_->destroy(); return done({});
  }
  return Status(IMCTL_INTERNAL, "no such step");
}

Status Runner::create() {
  if (module_ != nullptr) return {IMCTL_FAILED_PRECONDITION, "there is an instance already"};
  Result<const imctl_module*> loaded = load(hello_.file);
  if (!loaded.ok()) return loaded.status();
  InstanceSpec spec;
  spec.name = hello_.name;
  spec.methods = hello_.methods;
  spec.limits = hello_.limits;
  auto code = std::make_unique<ModuleOnce>(make_abi_code(nullptr, *loaded));
  code_ = code.get();
  module_ = std::make_shared<Instance>(this, std::move(spec), std::move(code));
  Status status = module_->create();
  if (!status.ok()) return status;
  std::lock_guard lock(mutex_);
  for (const Served& served : module_->served()) {
    auto slot = std::make_unique<MethodSlot>(served.info.name);
    slot->set_route(std::make_shared<const Route>(Route{module_, &served}));
    served_.emplace(served.info.name, std::move(slot));
  }
  return {};
}

// No caller in the host waits for the module any more. What is left is its own work, and calls that
// were cancelled and have not ended.
Status Runner::drain() {
  (void)module_->gate().close();
  Status status = module_->drain(std::chrono::steady_clock::now());
  // In the host such a module could not be unloaded; here its process goes with it.
  if (module_->is_stuck()) on_violation(status.message());
  return status;
}

void Runner::send_metrics() {
  for (const Metric* metric : metrics().all()) {
    MetricFrame frame{metric->kind(),
                      metric->name(),
                      metric->labels(),
                      metric->help(),
                      metric->value(),
                      metric->count(),
                      {}};
    Sent now{frame.value, frame.count, {}};
    if (metric->kind() == IMCTL_HISTOGRAM) {
      for (size_t i = 0; i < Metric::kBounds.size(); ++i) now.buckets.push_back(metric->bucket(i));
    }
    Sent& sent = metrics_[metric];
    if (now.value == sent.value && now.count == sent.count) continue;
    sent.buckets.resize(now.buckets.size());
    if (metric->kind() != IMCTL_GAUGE) {
      frame.value -= sent.value;
      frame.count -= sent.count;
      for (size_t i = 0; i < now.buckets.size(); ++i) {
        frame.buckets.push_back(now.buckets[i] - sent.buckets[i]);
      }
    }
    bridge_->send(FrameType::kMetric, 0, encode(frame));
    sent = std::move(now);
  }
}

// ---- of Road

void Runner::write_log(imctl_log_level level, std::string_view /*module*/, const Call* call,
                       std::string_view text) {
  if (bridge_->queued_bytes() > kMostQueuedForLog) {
    dropped_lines_->add(1);
    return;
  }
  LogFrame frame{level, std::string(text.substr(0, kLongestLine))};
  bridge_->send(FrameType::kLog, call == nullptr ? 0 : call->params().link_id, encode(frame));
}

void Runner::health_changed(Instance& instance) {
  HealthFrame frame{instance.is_serving(), instance.health_reason()};
  bridge_->send(FrameType::kHealth, 0, encode(frame));
}

Result<BufferRef> Runner::to_json(const Instance& /*instance*/, std::string_view type,
                                  std::string_view message) {
  return asker_.ask(Question::kToJson, type, message);
}

Result<BufferRef> Runner::from_json(const Instance& /*instance*/, std::string_view type,
                                    std::string_view json) {
  return asker_.ask(Question::kFromJson, type, json);
}

Status Runner::not_served(std::string_view method) const {
  return {IMCTL_UNIMPLEMENTED, "nobody serves " + std::string(method)};
}

std::shared_ptr<const Route> Runner::route_out(MethodSlot& method) {
  std::lock_guard lock(mutex_);
  if (std::shared_ptr<const Route> route = method.route()) return route;
  auto served = std::make_unique<Served>();
  served->info.name = method.name();
  served->info.service = method.service();
  // What it is is not known here: its request is taken from the call, and messages go both ways.
  served->info.client_streams = true;
  served->info.server_streams = true;
  served->entry = {sizeof(imctl_method),
                   0,
                   {},
                   [](void* user, imctl_call* call, const imctl_context* /*context*/,
                      imctl_buffer* /*request*/) {
                     Call* made = Call::from(call);
                     BufferRef request = made->params().request;
                     bool streams = !request;
                     static_cast<Runner*>(user)->bridge_->forward(made, std::move(request),
                                                                  streams);
                   },
                   this};
  auto route = std::make_shared<const Route>(Route{out_, served.get()});
  out_methods_.push_back(std::move(served));
  method.set_route(route);
  return route;
}

// ---- of Bridge::Owner

Result<Bridge::Admitted> Runner::admit(uint64_t id, StartFrame& frame) {
  MethodSlot* slot = nullptr;
  {
    std::lock_guard lock(mutex_);
    auto found = served_.find(frame.method);
    if (found == served_.end()) return not_served(frame.method);
    slot = found->second.get();
  }
  Bridge::Admitted admitted;
  CallParams& params = admitted.params;
  params.target = slot;
  params.principal_kind = static_cast<imctl_principal_kind>(frame.principal_kind);
  params.principal = std::move(frame.principal);
  params.caller_module = std::move(frame.caller_module);
  params.call_id = std::move(frame.call_id);
  params.deadline = frame.deadline;
  params.flags = frame.flags;
  params.depth = frame.depth;
  params.link_id = id;
  params.nested = frame.nested;
  admitted.reads = slot->route()->served->info.server_streams;
  return admitted;
}

void Runner::describe(const Call& call, StartFrame* frame) {
  const CallParams& params = call.params();
  // The host knows all else of that call, and believes nobody.
  if (params.parent != nullptr) frame->parent = params.parent->params().link_id;
  frame->flags = params.flags;
  frame->deadline = params.deadline;
}

void Runner::on_frame(FrameType type, uint64_t id, std::string_view head, BufferRef tail) {
  if (type == FrameType::kPing) {
    HeadWriter out;
    out.i32(gettid());
    bridge_->send(FrameType::kPong, id, out.bytes());
  } else if (type == FrameType::kLogLevel) {
    HeadReader in(head);
    log_level_ = in.i32();
  } else if (type == FrameType::kControl) {
    std::lock_guard lock(mutex_);
    controls_.push_back({id, std::string(head), std::move(tail)});
    wake_.notify_one();
  } else {
    on_violation("the host sent what it may not");
  }
}

void Runner::on_violation(const std::string& what) {
  (void)fprintf(stderr, "imctl-runner: %s\n", what.c_str());
  _exit(EXIT_FAILURE);
}

// The host is done with the module, or is gone.
void Runner::on_closed(const Status& why) {
  _exit(why.code() == IMCTL_DATA_LOSS ? EXIT_FAILURE : 0);
}

}  // namespace imctl::host
