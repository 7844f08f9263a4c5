#include "road/call.h"

#include <algorithm>
#include <atomic>
#include <cstdio>
#include <iterator>
#include <random>

#include "road/code_name.h"
#include "road/contain.h"
#include "road/instance.h"
#include "road/method_table.h"
#include "road/road.h"

namespace imctl::host {
namespace {

// How long a handler may keep the host's thread.
constexpr int64_t kHandlerGrace = 200'000'000;

std::string new_call_id() {
  static const uint64_t process = [] {
    std::random_device random;
    return (static_cast<uint64_t>(random()) << 32) | random();
  }();
  static std::atomic<uint64_t> next{0};
  static constexpr char kHex[] = "0123456789abcdef";
  std::string id(24, '0');
  uint64_t high = process;
  uint64_t low = next.fetch_add(1, std::memory_order_relaxed);
  for (size_t i = 16; i-- > 0; high >>= 4) id[i] = kHex[high & 15];
  for (size_t i = 24; i-- > 16; low >>= 4) id[i] = kHex[low & 15];
  return id;
}

// What HTTP/2 metadata may hold; gRPC ends the process over anything else.
bool good_trailer(std::string_view key, std::string_view value) {
  auto in_key = [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' || c == '_' || c == '.';
  };
  auto in_value = [](char c) { return c >= 0x20 && c <= 0x7e; };
  bool binary = key.size() > 4 && key.substr(key.size() - 4) == "-bin";
  return !key.empty() && key.substr(0, 5) != "grpc-" &&
         std::all_of(key.begin(), key.end(), in_key) &&
         (binary || std::all_of(value.begin(), value.end(), in_value));
}

std::string_view find(const Metadata& metadata, std::string_view key) {
  for (const auto& [name, value] : metadata) {
    if (name == key) return value;
  }
  return {};
}

}  // namespace

void CallRef::release(Call* call) { call->unref(); }

// The module may still have the handle, though it must not use it.
void Call::destroy() {
  if (instance_ == nullptr) {
    delete this;
    return;
  }
  std::shared_ptr<Instance> instance = std::move(instance_);
  this->~Call();
  bury(this, instance.get());
}

Call::Call(CallParams params, Caller* caller) : params_(std::move(params)), caller_(caller) {
  if (params_.call_id.empty()) params_.call_id = new_call_id();
  context_ = {sizeof(imctl_context),     params_.flags,
              params_.principal_kind,    params_.depth,
              to_str(params_.principal), to_str(params_.caller_module),
              to_str(params_.call_id),   params_.deadline};
  started_ = monotonic_now();
  request_bytes_ = params_.request.size() + sizeof(Call);
}

// ---- starting

void Call::serve(std::shared_ptr<Instance> instance, const Served& served) {
  {
    std::lock_guard lock(mutex_);
    instance_ = std::move(instance);
    method_ = &served.info;
    entry_ = &served.entry;
    inbound_.admit(instance_.get());
  }
  bool stopping = instance_->track(this, request_bytes_);
  start_handler();
  if (stopping) move(instance_->leaving());
}

void Call::start_handler() {
  if (!method_->blocking) {
    // One more callback of the call: events wait until it returns.
    run_handler();
    release_events();
    return;
  }
  // What may block must hear of events meanwhile.
  release_events();
  ref();  // the pool's
  // A call of the same module may wait for this one, maybe on one of its threads.
  bool nested = params_.nested || descends_from(instance_.get());
  if (!instance_->pool().post(&Call::run_on_pool, this, request_bytes_, nested)) {
    unref();
    finish(Status(IMCTL_RESOURCE_EXHAUSTED,
                  "module " + instance_->name() +
                      " is busy and the queue of its pool is full: try again later, or raise "
                      "pool_threads, pool_queue or pool_queue_bytes in section [" +
                      instance_->name() + "]"),
           BufferRef());
  }
}

bool Call::descends_from(const Instance* instance) const {
  for (const Lineage* at = params_.lineage.get(); at != nullptr; at = at->above.get()) {
    if (at->instance == instance) return true;
  }
  return false;
}

void Call::run_on_pool(void* user) {
  auto* call = static_cast<Call*>(user);
  if (int32_t code = call->cancelled(); code != 0) {
    // Nobody waits for it any more: do not begin.
    call->finish(Status(static_cast<imctl_code>(code), "ended before it began"), BufferRef());
  } else {
    call->run_handler();
    std::unique_lock lock(call->mutex_);
    call->handler_running_ = false;
    call->pump(lock);  // a cancel that came meanwhile is told now
  }
  call->unref();
}

void Call::run_handler() {
  imctl_buffer* request = method_->client_streams ? nullptr : params_.request.give();
  const bool watched = !method_->blocking && instance_->road()->bounds.watch_handlers;
  const int64_t began = watched ? monotonic_now() : 0;
  told("the handler", [&] { entry_->start(entry_->user, this, &context_, request); });
  if (watched && monotonic_now() - began > kHandlerGrace) {
    instance_->broke(Rule::kThreads, "the handler of " + method_->name +
                                         ", which is not declared `blocking`, kept a thread of "
                                         "the host for " +
                                         std::to_string((monotonic_now() - began) / 1'000'000) +
                                         " ms");
  }
}

// Runs a piece of the callee's code. If it throws, nobody can say what it still had to do: the call
// ends.
template <class F>
bool Call::told(const char* what, F&& event) {
  return contain(what, std::forward<F>(event), [this](const std::string& thrown) {
    instance_->broke(Rule::kExceptions, method_->name + ": " + thrown);
    abandon();
  });
}

void Call::abandon() {
  auto open = ImctlCallState::kOpen;
  if (!state.compare_exchange_strong(open, ImctlCallState::kFinished)) return;
  finish(Status(IMCTL_INTERNAL, "module " + instance_->name() + " threw an exception at the host" +
                                    named(Rule::kExceptions)),
         BufferRef());
}

void Call::release_events() {
  std::unique_lock lock(mutex_);
  blocked_ = false;
  handler_running_ = method_ != nullptr && method_->blocking;
  pump(lock);
}

void Call::refuse(Road& road, Status status) {
  if (road.logs_calls()) log_end(road, status.code(), monotonic_now() - started_);
  {
    std::lock_guard lock(mutex_);
    callee_finished_ = true;
    if (!caller_ready_) {
      status_ = std::move(status);
      caller_ready_ = true;
    }
    inbound_.close();
    outbound_.close();
  }
  release_events();
}

void Call::audit_as(std::shared_ptr<const Route> route) {
  std::lock_guard lock(mutex_);
  audited_ = std::move(route);
  if (params_.request) audited_request_ = params_.request;
}

void Call::wait() {
  std::unique_lock lock(mutex_);
  // The wait may be over before this thread comes to say that it began.
  if (++waits_begun_ <= waits_over_) return;
  blocked_ = false;
  pump(lock);
}

bool Call::wait_over() {
  std::unique_lock lock(mutex_);
  ++waits_over_;
  if (!caller_ready_) {
    blocked_ = true;
    return true;
  }
  callee_finished_ = true;
  pump(lock);
  return false;
}

void Call::identify(std::shared_ptr<const Grant> grant, std::shared_ptr<Identity> identity) {
  params_.token.clear();
  params_.certified_user.clear();
  params_.principal_kind = IMCTL_PRINCIPAL_USER;
  params_.principal = grant->user;
  if (!grant->credential.empty()) {
    params_.metadata.emplace_back(kCredentialMetadata, grant->credential);
  }
  params_.grant = std::move(grant);
  context_.principal_kind = params_.principal_kind;
  context_.principal = to_str(params_.principal);
  identity_ = std::move(identity);
}

void Call::open_for_identity() {
  if (identity_ == nullptr) return;
  {
    std::lock_guard lock(mutex_);
    if (opened_ || caller_told_) return;
    opened_ = true;
  }
  identity_->opened(*this);
}

void Call::join_parent() {
  Call* parent = params_.parent;
  if (parent == nullptr) return;
  parent->ref();
  ref();
  int32_t code = 0;
  {
    std::lock_guard lock(parent->mutex_);
    parent->children_.push_back(this);
    code = parent->cancelled();
  }
  if (code != 0) cancel(code, "the call that this one was made for was cancelled");
}

void Call::leave_parent() {
  Call* parent = params_.parent;
  if (parent == nullptr) return;
  {
    std::lock_guard lock(parent->mutex_);
    std::erase(parent->children_, this);
  }
  parent->unref();
  unref();  // the pump holds one
}

void Call::watch_deadline(Timer* timer) {
  std::lock_guard lock(mutex_);
  if (params_.deadline == 0 || timer_ != nullptr || caller_told_) return;
  ref();
  timer_ = timer;
  deadline_timer_ = timer->at(params_.deadline, [held = std::make_shared<CallRef>(this)] {
    (*held)->cancel(IMCTL_DEADLINE_EXCEEDED, "the deadline passed");
  });
}

// ---- the callee's end

void Call::finish(Status status, BufferRef reply) {
  std::unique_lock lock(mutex_);
  callee_finished_ = true;
  inbound_.drop(instance_.get());
  outbound_.close();
  if (!caller_ready_) {
    if (status.ok() && !method_->server_streams && !reply) {
      status =
          Status(IMCTL_INTERNAL, "the handler of " + method_->name + " finished without a reply");
    }
    status_ = std::move(status);
    if (status_.ok()) reply_ = std::move(reply);
    caller_ready_ = true;
  } else {
    callee_status_ = std::move(status);
  }
  pump(lock);
}

void Call::bind(const imctl_call_events& events, void* user) {
  std::lock_guard lock(mutex_);
  size_t known = std::min<size_t>(events.struct_size, sizeof(events_));
  std::copy_n(reinterpret_cast<const char*>(&events), known, reinterpret_cast<char*>(&events_));
  events_user_ = user;
  bound_ = true;
}

void Call::read() {
  std::unique_lock lock(mutex_);
  if (std::exchange(reading_, bound_)) {
    lock.unlock();
    instance_->broke(Rule::kCredit,
                     method_->name + ": reads while a read is not answered yet: ignored");
    return;
  }
  inbound_.read_wanted = true;
  pump(lock);
}

void Call::write(BufferRef message) {
  std::unique_lock lock(mutex_);
  if (std::exchange(writing_, bound_)) {
    lock.unlock();
    instance_->broke(
        Rule::kCredit,
        method_->name + ": writes while a write is not answered yet: the message is lost");
    return;
  }
  outbound_.write(std::move(message), instance_.get());
  pump(lock);
}

std::string_view Call::metadata(std::string_view key) const { return find(params_.metadata, key); }
std::string_view Call::trailer(std::string_view key) const { return find(trailers_, key); }

void Call::add_trailer(std::string_view key, std::string_view value) {
  if (!good_trailer(key, value)) {
    instance_->road()->log(
        IMCTL_LOG_WARN, instance_->name(), this,
        "adds the trailer '" + std::string(key) + "', which metadata cannot carry: dropped");
    return;
  }
  std::lock_guard lock(mutex_);
  // Once the caller was told the end, it reads them.
  if (!caller_told_) trailers_.emplace_back(key, value);
}

// ---- the caller's end

void Call::caller_read() {
  std::unique_lock lock(mutex_);
  outbound_.read_wanted = true;
  pump(lock);
}

void Call::caller_write(BufferRef message) {
  std::unique_lock lock(mutex_);
  // Each stream takes one message whatever its size: many streams of large ones must not add up.
  if (instance_ != nullptr && !inbound_.closed() &&
      message.size() > instance_->limits().stream_window &&
      instance_->stream_bytes() + Pipe::cost(message) > instance_->limits().streams_memory) {
    lock.unlock();
    cancel(IMCTL_RESOURCE_EXHAUSTED,
           "the streams of module " + instance_->name() +
               " hold all the bytes they may (streams_memory): try again later, or send "
               "smaller messages");
    return;
  }
  if (audited_ != nullptr && !audited_request_) audited_request_ = message;
  inbound_.write(std::move(message), instance_.get());
  pump(lock);
}

void Call::caller_writes_done() {
  std::unique_lock lock(mutex_);
  inbound_.close();
  pump(lock);
}

void Call::cancel(Status status) {
  std::vector<CallRef> children;
  Status why = status;
  {
    std::unique_lock lock(mutex_);
    if (cancelled() != 0 || caller_told_) return;
    cancel_code_.store(status.code(), std::memory_order_release);
    cancelled_at_ = monotonic_now();
    status_ = std::move(status);
    reply_ = BufferRef();
    caller_ready_ = true;
    inbound_.drop(instance_.get());
    outbound_.drop(instance_.get());
    for (Call* child : children_) {
      child->ref();
      children.emplace_back(child);
    }
    ref();
    pump(lock);
  }
  for (const CallRef& child : children) child->cancel(why);
  unref();
}

void Call::move(const Status& status) {
  {
    std::unique_lock lock(mutex_);
    if (bound_ && events_.on_moving != nullptr) {
      moving_ = status;
      pump(lock);
      return;
    }
  }
  cancel(status);
}

void Call::caller_gone() {
  if (params_.deadline != 0 && params_.deadline <= monotonic_now()) {
    cancel(IMCTL_DEADLINE_EXCEEDED, "the deadline passed");
  } else {
    cancel(IMCTL_CANCELLED, "the client went away");
  }
}

// ---- telling both ends

void Call::pump(std::unique_lock<std::mutex>& lock) {
  if (pumping_ || blocked_) return;
  pumping_ = true;
  ref();
  while (!blocked_ && step(lock)) {
  }
  pumping_ = false;
  lock.unlock();
  unref();
}

bool Call::step(std::unique_lock<std::mutex>& lock) {
  return callee_step(lock) || caller_step(lock);
}

// Does the one thing that is due for the callee; false if there is none.
bool Call::callee_step(std::unique_lock<std::mutex>& lock) {
  if (callee_retired_) return false;
  if (callee_finished_) {
    retire_callee(lock);
    return true;
  }
  if (!bound_) return false;
  if (inbound_.read_wanted && inbound_.readable()) {
    inbound_.read_wanted = false;
    reading_ = false;
    BufferRef message = inbound_.read(instance_.get());
    if (events_.on_message == nullptr) return true;
    lock.unlock();
    told("on_message", [&] { events_.on_message(events_user_, message.give()); });
    lock.lock();
    return true;
  }
  if (outbound_.write_answer) {
    bool accepted = *outbound_.write_answer;
    outbound_.write_answer.reset();
    writing_ = false;
    if (events_.on_written == nullptr) return true;
    lock.unlock();
    told("on_written", [&] { events_.on_written(events_user_, accepted ? 1 : 0); });
    lock.lock();
    return true;
  }
  if (cancelled() != 0 && !cancel_told_ && !handler_running_) {
    cancel_told_ = true;
    if (events_.on_cancel == nullptr) return true;
    lock.unlock();
    told("on_cancel", [&] { events_.on_cancel(events_user_, cancelled()); });
    lock.lock();
    return true;
  }
  if (moving_ && cancelled() == 0 && !handler_running_) {
    Status status = std::move(*moving_);
    moving_.reset();
    lock.unlock();
    int32_t ends_itself = 0;
    told("on_moving", [&] { ends_itself = events_.on_moving(events_user_); });
    if (ends_itself == 0) cancel(std::move(status));
    lock.lock();
    return true;
  }
  return false;
}

void Call::retire_callee(std::unique_lock<std::mutex>& lock) {
  callee_retired_ = true;
  int32_t code = status_.code();
  // A caller who left is recorded as that; what was done all the same is recorded too.
  const bool left = cancelled() != 0 && instance_ != nullptr;
  std::shared_ptr<const Route> audited = left ? audited_ : nullptr;
  BufferRef request = audited_request_;
  lock.unlock();
  if (audited != nullptr) {
    audited->instance->road()->audit_end(params_, *audited, request.view(), callee_status_);
    audited.reset();
  }
  if (bound_ && events_.on_released != nullptr) {
    told("on_released", [&] { events_.on_released(events_user_); });
  }
  if (instance_ != nullptr) {
    int64_t now = monotonic_now();
    int64_t took = now - started_;
    params_.target->count(code, took);
    if (left && now - cancelled_at_ > instance_->road()->bounds.grace) {
      instance_->broke(Rule::kCancel, method_->name + " went on for " +
                                          std::to_string((now - cancelled_at_) / 1'000'000) +
                                          " ms after it was cancelled");
    }
    if (instance_->road()->logs_calls()) log_end(*instance_->road(), code, took);
    instance_->untrack(this, request_bytes_);
  }
  unref();  // the callee's handle; the pump holds one
  lock.lock();
}

void Call::log_end(Road& road, int32_t code, int64_t took) const {
  char duration[32];
  (void)snprintf(duration, sizeof(duration), "%.3f ms", static_cast<double>(took) / 1e6);
  std::string text = params_.target->name() + " ended: " + code_name(code) + " after " + duration;
  if (instance_ != nullptr) text += ", served by " + instance_->name();
  if (!params_.caller_module.empty()) text += ", called by " + params_.caller_module;
  road.write_log(IMCTL_LOG_DEBUG, "host", this, text);
}

bool Call::caller_step(std::unique_lock<std::mutex>& lock) {
  if (caller_told_) return false;
  if (outbound_.read_wanted && outbound_.readable()) {
    outbound_.read_wanted = false;
    BufferRef message = outbound_.read(instance_.get());
    bool more = !outbound_.empty();
    lock.unlock();
    caller_->on_message(std::move(message), more);
    lock.lock();
    return true;
  }
  if (inbound_.write_answer) {
    bool accepted = *inbound_.write_answer;
    inbound_.write_answer.reset();
    lock.unlock();
    caller_->on_written(accepted);
    lock.lock();
    return true;
  }
  if (caller_ready_ && outbound_.empty()) {
    finish_caller(lock);
    return true;
  }
  return false;
}

void Call::finish_caller(std::unique_lock<std::mutex>& lock) {
  caller_told_ = true;
  BufferRef reply = std::move(reply_);
  std::shared_ptr<const Route> audited = audited_;
  BufferRef request = audited_request_;
  Timer* timer = timer_;
  std::vector<CallRef> children;
  for (Call* child : children_) {
    child->ref();
    children.emplace_back(child);
  }
  const bool opened = opened_;
  lock.unlock();
  if (opened) identity_->closed(*this);
  if (timer != nullptr) timer->cancel(deadline_timer_);
  // From now on nobody tells them that the deadline which they share has passed.
  for (const CallRef& child : children) child->watch_deadline(&instance_->road()->timer());
  leave_parent();
  if (audited != nullptr) {
    audited->instance->road()->audit_end(params_, *audited, request.view(), status_);
    audited.reset();
    request = BufferRef();
  }
  caller_->on_finish(status_, std::move(reply));
  lock.lock();
}

}  // namespace imctl::host
