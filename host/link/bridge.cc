#include "link/bridge.h"

#include <algorithm>
#include <optional>
#include <utility>

#include "road/instance.h"
#include "road/method_table.h"
#include "road/road.h"

namespace imctl::host {
namespace {

// Numbers of calls that the module's end starts.
constexpr uint64_t kOfModule = uint64_t{1} << 63;

Status status_of(const FinishFrame& frame) {
  bool known = frame.code >= IMCTL_OK && frame.code <= IMCTL_UNAUTHENTICATED;
  if (frame.code == IMCTL_OK) return {};
  return {known ? static_cast<imctl_code>(frame.code) : IMCTL_UNKNOWN, frame.message,
          frame.details};
}

FinishFrame frame_of(const Status& status) {
  return {status.code(), status.message(), status.details(), {}};
}

}  // namespace

// A local Call that the other end serves. It lives until the Call has released it.
class Bridge::Forwarded final : public Linked {
 public:
  Forwarded(std::shared_ptr<Bridge> bridge, Shared shared, uint64_t id, Call* call, bool streams)
      : Linked(std::move(shared), id), bridge_(std::move(bridge)), call_(call), streams_(streams) {
    call->ref();
  }

  CallRef call() const {
    call_->ref();
    return CallRef(call_.get());
  }

  void start(BufferRef request) {
    self_ = std::static_pointer_cast<Forwarded>(shared_from_this());
    imctl_call_events events{};
    events.struct_size = sizeof(events);
    events.on_message = [](void* user, imctl_buffer* message) {
      of(user).local_message(BufferRef(message));
    };
    events.on_written = [](void* user, int32_t accepted) { of(user).local_written(accepted != 0); };
    events.on_cancel = [](void* user, int32_t code) { of(user).tell_cancel(code); };
    events.on_released = [](void* user) { of(user).release(); };
    events.on_moving = [](void* user) -> int32_t {
      of(user).tell_move();
      return 1;
    };
    call_->bind(events, this);
    StartFrame frame;
    frame.method = call_->params().target->name();
    frame.metadata = call_->params().metadata;
    bridge_->owner_->describe(*call_.get(), &frame);
    Status status;
    if (bridge_->queued_bytes() > bridge_->options_.queued) {
      status = {IMCTL_RESOURCE_EXHAUSTED, "too much waits to be sent to the process of module " +
                                              bridge_->options_.name + ": try again later"};
    } else if (request.size() > kMaxFramePart) {
      status = {IMCTL_RESOURCE_EXHAUSTED,
                "the request is too large for a module in its own process"};
    } else {
      status = bridge_->add(id(), shared_from_this());
    }
    if (!status.ok()) {
      end(status, BufferRef(), {});
      return;
    }
    // If it is not sent, the link is closed, and that is told to all calls there are.
    send(FrameType::kStart, encode(frame), std::move(request));
    if (streams_) read_on();
  }

  bool got_finish(FinishFrame& frame, BufferRef&& reply) override {
    {
      std::lock_guard lock(mutex_);
      pending_ = Pending{status_of(frame), std::move(reply), std::move(frame.trailers)};
    }
    if (is_written()) all_written();
    return true;
  }

  void fail(const Status& status) override { end(status, BufferRef(), {}); }

 protected:
  void read_local() override { call_->read(); }
  void write_local(BufferRef message) override { call_->write(std::move(message)); }
  void local_end() override { send(FrameType::kWritesDone); }
  void all_written() override {
    std::optional<Pending> pending;
    {
      std::lock_guard lock(mutex_);
      pending.swap(pending_);
    }
    if (pending) end(pending->status, std::move(pending->reply), pending->trailers);
  }
  void give_up(const Status& status) override {
    send(FrameType::kCancel, encode(CancelFrame{status.code(), status.message()}));
    call_->cancel(status);
  }

 private:
  struct Pending {
    Status status;
    BufferRef reply;
    WirePairs trailers;
  };

  static Forwarded& of(void* user) { return *static_cast<Forwarded*>(user); }

  void tell_cancel(int32_t code) {
    send(FrameType::kCancel, encode(CancelFrame{code, "cancelled by the caller"}));
  }
  void tell_move() { send(FrameType::kMove, encode(frame_of(bridge_->owner_->leaving()))); }

  void release() { std::shared_ptr<Forwarded> last = std::move(self_); }

  // Once, whoever comes first.
  void end(const Status& status, BufferRef reply, const WirePairs& trailers) {
    {
      std::lock_guard lock(mutex_);
      if (std::exchange(ended_, true)) return;
    }
    std::shared_ptr<Linked> hold = shared_from_this();
    for (const auto& [key, value] : trailers) call_->add_trailer(key, value);
    const MethodInfo* method = call_->method();
    // What comes from a module's process may be anything.
    if (!status.ok() || (from_module() && method->server_streams)) reply = BufferRef();
    call_->finish(status, std::move(reply));
  }
  bool from_module() const { return bridge_->options_.end == End::kHost; }

  const std::shared_ptr<Bridge> bridge_;
  const CallRef call_;
  const bool streams_;
  std::shared_ptr<Forwarded> self_;  // until the Call uses it no more
  std::optional<Pending> pending_;
  bool ended_ = false;

  friend class Bridge;
};

// A call of the other end's, made here. It lives until the Call has told its end.
class Bridge::Submitted final : public Linked, public Caller {
 public:
  Submitted(std::shared_ptr<Bridge> bridge, Shared shared, uint64_t id)
      : Linked(std::move(shared), id), bridge_(std::move(bridge)) {}

  void start(Admitted admitted, BufferRef request) {
    self_ = std::static_pointer_cast<Submitted>(shared_from_this());
    std::shared_ptr<Submitted> hold = self_;  // it may end at once
    admitted.params.request = std::move(request);
    call_ = CallRef(new Call(std::move(admitted.params), this));
    Status status = bridge_->add(id(), hold);
    if (!status.ok()) {
      call_->refuse(*bridge_->road_, status);
      return;
    }
    bridge_->road_->dispatcher().start(*call_.get());
    if (admitted.reads) read_on();
  }

  bool got_writes_done() override {
    {
      std::lock_guard lock(mutex_);
      done_ = true;
    }
    if (is_written()) all_written();
    return true;
  }
  bool got_cancel(const CancelFrame& frame) override {
    bool known = frame.code > IMCTL_OK && frame.code <= IMCTL_UNAUTHENTICATED;
    call_->cancel(known ? frame.code : IMCTL_CANCELLED, frame.why);
    return true;
  }
  bool got_move(const FinishFrame& frame) override {
    Status status = status_of(frame);
    if (status.ok()) return false;
    call_->move(status);
    return true;
  }
  void fail(const Status& status) override { call_->cancel(status); }

  void on_message(BufferRef message, bool /*more*/) override { local_message(std::move(message)); }
  void on_written(bool accepted) override { local_written(accepted); }
  void on_finish(const Status& status, BufferRef reply) override {
    std::shared_ptr<Submitted> last = std::move(self_);
    FinishFrame frame = frame_of(status);
    if (reply.size() > kMaxFramePart) {
      frame = frame_of(
          {IMCTL_RESOURCE_EXHAUSTED, "the reply is too large for a module in its own process"});
      reply = BufferRef();
    }
    frame.trailers = call_->trailers();
    bridge_->remove(id());
    send(FrameType::kFinish, encode(frame), std::move(reply));
    bridge_->owner_->over();
  }

 protected:
  void read_local() override { call_->caller_read(); }
  void write_local(BufferRef message) override { call_->caller_write(std::move(message)); }
  void local_end() override {}
  void all_written() override {
    {
      std::lock_guard lock(mutex_);
      if (!std::exchange(done_, false)) return;
    }
    call_->caller_writes_done();
  }
  void give_up(const Status& status) override { call_->cancel(status); }

 private:
  const std::shared_ptr<Bridge> bridge_;
  CallRef call_;
  std::shared_ptr<Submitted> self_;  // until the Call uses it no more
  bool done_ = false;                // no more messages come; to be told once all are written
};

Result<std::shared_ptr<Bridge>> Bridge::make(int fd, Options options, Road* road, Owner* owner) {
  std::shared_ptr<Bridge> bridge(new Bridge(std::move(options), road, owner));
  auto link = Link::make(fd, bridge->options_.name, bridge.get());
  if (!link.ok()) return link.status();
  bridge->link_owner_ = std::move(*link);
  bridge->link_ = bridge->link_owner_.get();
  return bridge;
}

Bridge::~Bridge() = default;

bool Bridge::is_ours(uint64_t id) const {
  return ((id & kOfModule) != 0) == (options_.end == End::kModule);
}

Status Bridge::add(uint64_t id, const std::shared_ptr<Linked>& linked) {
  std::lock_guard lock(mutex_);
  if (failed_) return failure_;
  calls_.emplace(id, linked);
  return {};
}

std::shared_ptr<Linked> Bridge::find(uint64_t id) {
  std::lock_guard lock(mutex_);
  auto found = calls_.find(id);
  return found == calls_.end() ? nullptr : found->second;
}

void Bridge::remove(uint64_t id) {
  std::shared_ptr<Linked> last;  // destroyed outside the lock
  std::lock_guard lock(mutex_);
  auto found = calls_.find(id);
  if (found == calls_.end()) return;
  last = std::move(found->second);
  calls_.erase(found);
}

Linked::Shared Bridge::shared() {
  return {shared_from_this(), link_, options_.window, options_.held, &held_};
}

void Bridge::forward(Call* call, BufferRef request, bool streams) {
  uint64_t id = next_.fetch_add(1, std::memory_order_relaxed);
  if (options_.end == End::kModule) id |= kOfModule;
  auto forwarded = std::make_shared<Forwarded>(shared_from_this(), shared(), id, call, streams);
  forwarded->start(std::move(request));
}

CallRef Bridge::forwarded(uint64_t id) {
  if (!is_ours(id)) return {};
  std::shared_ptr<Linked> linked = find(id);
  if (linked == nullptr) return {};
  return static_cast<Forwarded&>(*linked).call();
}

void Bridge::fail_all(const Status& status) {
  std::unordered_map<uint64_t, std::shared_ptr<Linked>> calls;
  {
    std::lock_guard lock(mutex_);
    failed_ = true;
    failure_ = status;
    calls.swap(calls_);
  }
  for (auto& [id, linked] : calls) linked->fail(status);
}

void Bridge::refuse(uint64_t id, const Status& status) {
  link_->send(FrameType::kFinish, id, encode(frame_of(status)));
}

void Bridge::submit(uint64_t id, std::string_view head, BufferRef request) {
  StartFrame frame;
  if (is_ours(id) || !decode(head, &frame) || find(id) != nullptr) {
    owner_->on_violation("it started a call that cannot be");
    return;
  }
  if (link_->queued_bytes() > options_.queued) {
    refuse(id, {IMCTL_RESOURCE_EXHAUSTED, "too much waits to be sent to the process of module " +
                                              options_.name + ": try again later"});
    return;
  }
  Result<Admitted> admitted = owner_->admit(id, frame);
  if (!admitted.ok()) {
    refuse(id, admitted.status());
    return;
  }
  admitted->params.metadata = std::move(frame.metadata);
  auto submitted = std::make_shared<Submitted>(shared_from_this(), shared(), id);
  submitted->start(std::move(*admitted), std::move(request));
}

void Bridge::on_frame(FrameType type, uint64_t id, std::string_view head, BufferRef tail) {
  if (type == FrameType::kStart) {
    submit(id, head, std::move(tail));
    return;
  }
  bool of_call = type == FrameType::kMessage || type == FrameType::kCredit ||
                 type == FrameType::kWritesDone || type == FrameType::kCancel ||
                 type == FrameType::kFinish || type == FrameType::kMove;
  if (!of_call) {
    owner_->on_frame(type, id, head, std::move(tail));
    return;
  }
  std::shared_ptr<Linked> linked = find(id);
  if (linked == nullptr) return;  // it ended here while that was on its way
  bool good = false;
  CreditFrame credit;
  CancelFrame cancel;
  FinishFrame finish;
  switch (type) {
    case FrameType::kMessage: good = tail && linked->got_message(std::move(tail)); break;
    case FrameType::kCredit: good = decode(head, &credit) && linked->got_credit(credit); break;
    case FrameType::kWritesDone: good = linked->got_writes_done(); break;
    case FrameType::kCancel: good = decode(head, &cancel) && linked->got_cancel(cancel); break;
    case FrameType::kMove: good = decode(head, &finish) && linked->got_move(finish); break;
    default:
      if (!decode(head, &finish)) break;
      // Before it: whoever hears of the end may look for it.
      if (is_ours(id)) remove(id);
      good = linked->got_finish(finish, std::move(tail));
  }
  if (!good) owner_->on_violation("it sent for a call what cannot be");
}

}  // namespace imctl::host
