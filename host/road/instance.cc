#include "road/instance.h"

#include <algorithm>
#include <map>
#include <set>
#include <utility>

#include "imctl/retry.h"
#include "road/call.h"
#include "road/contain.h"
#include "road/host_tables.h"
#include "road/road.h"

namespace imctl::host {
namespace {

// How long a cancelled call may take to end after its notice.
constexpr std::chrono::seconds kGrace{5};

bool streams(const MethodInfo& method) { return method.client_streams || method.server_streams; }

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

Instance::Instance(Road* road, InstanceSpec spec, std::unique_ptr<ModuleCode> code)
    : road_(road),
      spec_(std::move(spec)),
      log_level_(road->log_level(spec_.name)),
      settings_(spec_.description),
      code_(std::move(code)),
      pool_(spec_.name, spec_.limits.pool) {
  static_cast<imctl_host&>(handle_) = host_functions();
  handle_.road = road;
  handle_.instance = this;
  pool_.on_throw([this](const std::string& thrown) { broke(Rule::kExceptions, thrown); });
}

Instance::~Instance() { destroy(); }

void Instance::destroy() {
  if (stuck_) return;
  pool_.stop();
  std::lock_guard lock(code_mutex_);
  if (code_ == nullptr) return;
  if (created_) {
    contain(
        "destroy", [this] { code_->destroy(); },
        [this](const std::string& thrown) { broke(Rule::kExceptions, thrown); });
  }
  code_.reset();
}

bool Instance::may_call(std::string_view service) const {
  return std::find(spec_.needs.begin(), spec_.needs.end(), service) != spec_.needs.end();
}

std::string Instance::where() const {
  std::lock_guard lock(code_mutex_);
  return code_ == nullptr ? std::string() : code_->where();
}

uint64_t Instance::memory() const {
  std::lock_guard lock(code_mutex_);
  return code_ == nullptr ? 0 : code_->memory();
}

// Puts the module's name before what a step of its life says.
Status Instance::in_words(const char* step, Status status) {
  if (status.ok()) return status;
  state_ = InstanceState::kFailed;
  return {status.code(), "module " + name() + ": " + step + ": " + status.message()};
}

template <class Step>
Status Instance::within_grace(const char* step, Step&& taken) {
  const int64_t began = monotonic_now();
  Status status = in_words(step, taken());
  if (int64_t took = monotonic_now() - began; took > road_->bounds.grace) {
    broke(Rule::kStop, std::string(step) + " took " + std::to_string(took / 1'000'000) + " ms");
  }
  return status;
}

void Instance::broke(Rule rule, const std::string& how) {
  road_->metrics()
      .get(IMCTL_COUNTER, "imctl_module_rule_breaches_total",
           "module=\"" + name() + "\",rule=\"" + std::to_string(number_of(rule)) + "\"",
           "How often a module did what no module may")
      ->add(1);
  constexpr int64_t kOften = 1'000'000'000;
  std::atomic<int64_t>& told = told_breach_[number_of(rule) - 1];
  int64_t before = told.load();
  int64_t now = monotonic_now();
  if (before != 0 && now - before < kOften) return;
  if (!told.compare_exchange_strong(before, now)) return;
  // At the end of what the module threw it stands already.
  std::string line = how.ends_with(named(rule)) ? how : how + named(rule);
  road_->log(IMCTL_LOG_ERROR, name(), nullptr, line);
}

Status Instance::create() {
  Status status = in_words("create", code_->create(&handle_));
  if (!status.ok()) return status;
  created_ = true;
  return find_handlers();
}

Status Instance::find_handlers() {
  auto refuse = [&](const std::string& why) {
    return Status(IMCTL_FAILED_PRECONDITION, "module " + name() + ": " + why);
  };
  Result<std::map<std::string, imctl_method>> handlers = code_->methods();
  if (!handlers.ok()) return refuse(handlers.status().message());
  for (const MethodInfo& info : spec_.methods) {
    auto found = handlers->find(info.name);
    if (found == handlers->end())
      return refuse("it has no handler for " + info.name + named(Rule::kSlots));
    served_.push_back({info, found->second});
    if (!code_->handlers_block()) served_.back().info.blocking = false;
    handlers->erase(found);
  }
  if (handlers->empty()) return {};
  return refuse("its handler " + handlers->begin()->first +
                " is for no method of the services it serves" + named(Rule::kSlots));
}

Status Instance::prepare(const ModuleSettings& settings) {
  Status status = in_words("prepare", code_->prepare(settings));
  if (status.ok()) state_ = InstanceState::kPrepared;
  return status;
}

Status Instance::activate() {
  pool_.open();
  {
    std::lock_guard lock(calls_mutex_);
    ending_streams_ = false;
  }
  Status status = in_words("activate", code_->activate());
  if (!status.ok()) return status;
  state_ = InstanceState::kActive;
  activated_ = true;
  return status;
}

Status Instance::drain(std::chrono::steady_clock::time_point until) {
  Status quiesced;
  if (activated_) {
    state_ = InstanceState::kStopping;
    quiesced = within_grace("quiesce", [this] { return code_->quiesce(); });
    for (const CallRef& call : calls_in_flight(true)) call->move(leaving());
    if (!gate_.wait_empty(until)) {
      for (const CallRef& call : calls_in_flight(false)) call->cancel(leaving());
    }
  }
  // Work of the pool's and threads of the module's may make calls to their last moment: the gate is
  // looked at again after each of them has ended.
  until = std::max(until, std::chrono::steady_clock::now()) + kGrace;
  if (!gate_.wait_empty(until)) return stuck();
  (void)within_grace("to end the work on its pool", [this] {
    pool_.stop();
    return Status();
  });
  if (!gate_.wait_empty(until)) return stuck();
  return quiesced;
}

Status Instance::deactivate() {
  if (!std::exchange(activated_, false)) return {};
  Status status = within_grace("deactivate", [this] { return code_->deactivate(); });
  if (!gate_.wait_empty(std::chrono::steady_clock::now() + kGrace)) return stuck();
  if (status.ok()) state_ = InstanceState::kStopped;
  return status;
}

Status Instance::stop(std::chrono::steady_clock::time_point until) {
  for (const CallRef& call : gate_.close()) road_->dispatcher().resume(*call.get());
  Status drained = drain(until);
  if (stuck_) return drained;
  Status deactivated = deactivate();
  if (!drained.ok()) return drained;
  if (deactivated.ok()) state_ = InstanceState::kStopped;
  return deactivated;
}

Status Instance::stuck() {
  stuck_ = true;
  state_ = InstanceState::kFailed;
  std::string methods;
  {
    std::lock_guard lock(calls_mutex_);
    std::set<std::string> names;
    for (const Call* call : calls_) names.insert(call->method()->name);
    for (const std::string& name : names) methods.append(methods.empty() ? "" : ", ").append(name);
  }
  return {IMCTL_DEADLINE_EXCEEDED, "module " + name() + ": " + std::to_string(gate_.inside()) +
                                       " calls did not end after they were cancelled" +
                                       (methods.empty() ? "" : " (" + methods + ")") +
                                       ": it cannot be unloaded" + named(Rule::kFinishes)};
}

Status Instance::apply(const ModuleSettings& settings) {
  Status status = code_->apply(settings);
  if (status.ok()) return status;
  return {status.code(), "module " + name() + ": " + status.message()};
}

Result<ModuleCode::State> Instance::report() {
  Result<ModuleCode::State> state = code_->report();
  if (state.ok()) return state;
  return Status(state.status().code(), "module " + name() + ": " + state.status().message());
}

void Instance::log_level_changed() {
  std::lock_guard lock(code_mutex_);
  if (code_ != nullptr) code_->log_level_changed();
}

Result<BufferRef> Instance::save() {
  Result<BufferRef> state = code_->save();
  if (state.ok()) return state;
  return Status(state.status().code(), "module " + name() + ": save: " + state.status().message());
}

Status Instance::restore(const BufferRef& state) {
  return in_words("restore", code_->restore(state));
}

void Instance::set_health(bool serving, std::string_view reason) {
  {
    std::lock_guard lock(health_mutex_);
    health_reason_ = reason;
  }
  serving_ = serving;
  road_->health_changed(*this);
}

std::string Instance::health_reason() const {
  std::lock_guard lock(health_mutex_);
  return health_reason_;
}

bool Instance::track(Call* call, size_t request_bytes) {
  road_->add_in_flight(static_cast<int64_t>(request_bytes));
  std::lock_guard lock(calls_mutex_);
  calls_.insert(call);
  return ending_streams_ && streams(*call->method());
}

void Instance::untrack(Call* call, size_t request_bytes) {
  road_->add_in_flight(-static_cast<int64_t>(request_bytes));
  {
    std::lock_guard lock(calls_mutex_);
    calls_.erase(call);
  }
  gate_.leave();
}

Status Instance::leaving() const {
  return retry_later(IMCTL_UNAVAILABLE,
                     "module " + name() + " is being stopped or replaced: call again");
}

std::vector<CallRef> Instance::calls_in_flight(bool streams_only) {
  std::vector<CallRef> calls;
  std::lock_guard lock(calls_mutex_);
  ending_streams_ = true;
  for (Call* call : calls_) {
    if (streams_only && !streams(*call->method())) continue;
    call->ref();
    calls.emplace_back(call);
  }
  return calls;
}

}  // namespace imctl::host
