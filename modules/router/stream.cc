#include "stream.h"

#include <utility>

namespace imctl::router {

// ---- on the loop

void Stream::read() {
  if (!open_ || ending_ || reading_.exchange(true, std::memory_order_acq_rel)) return;
  abi_read();
}

void Stream::write(Buffer message, size_t size) {
  if (!open_ || ending_) return;
  if (!message) return on_broken({IMCTL_RESOURCE_EXHAUSTED, "there is no memory for a message"});
  queued_ += size;
  out_.push_back({std::move(message), size});
  pump(Loop::now());
}

void Stream::end(Status status, bool at_once) {
  if (!open_) return;
  if (!ending_) ending_ = std::move(status);
  if (at_once) out_.clear();
  if (at_once || (out_.empty() && !writing_)) {
    open_ = false;
    abi_end(*ending_);
  }
}

void Stream::pump(Time now) {
  size_t taken = 0;
  while (open_ && !writing_ && !out_.empty()) {
    writing_ = true;
    met_.store(false, std::memory_order_relaxed);
    abi_write(out_.front().message.give());
    // Not answered yet: the answer goes on.
    if (!met_.exchange(true, std::memory_order_acq_rel)) break;
    writing_ = false;
    // Not accepted: the end comes.
    if (!accepted_) break;
    taken += out_.front().size;
    out_.pop_front();
  }
  queued_ -= taken;
  if (taken != 0 && open_ && !ending_) written(now, taken);
  if (open_ && ending_ && out_.empty() && !writing_) {
    open_ = false;
    abi_end(*ending_);
  }
}

// ---- from any thread

void Stream::on_message(imctl_buffer* message) {
  reading_.store(false, std::memory_order_release);
  arrived(host_.adopt(message));
}

void Stream::on_written(bool accepted) {
  accepted_ = accepted;
  if (!met_.exchange(true, std::memory_order_acq_rel)) return;
  loop_->post([self = shared_from_this()](Time now) {
    self->writing_ = false;
    if (!self->open_ || self->out_.empty() || !self->accepted_) return;
    const size_t size = self->out_.front().size;
    self->out_.pop_front();
    self->queued_ -= size;
    if (!self->ending_) self->written(now, size);
    self->pump(now);
  });
}

void Stream::on_broken(Status status) {
  loop_->post([self = shared_from_this(), status = std::move(status)](Time now) {
    if (!self->open_) return;
    const bool told = !self->ending_;
    self->open_ = false;
    self->out_.clear();
    self->abi_end(self->ending_ ? *self->ending_ : status);
    if (told) self->broken(now, status);
  });
}

void Stream::on_released() {
  // On the loop, where its members are.
  loop_->post([self = std::move(self_)](Time) { self->released(); });
}

// ---- served

void ServedStream::serve(imctl_call* call) {
  static constexpr imctl_call_events kEvents = {
      sizeof(imctl_call_events),
      0,
      [](void* user, imctl_buffer* message) {
        static_cast<ServedStream*>(user)->on_message(message);
      },
      [](void* user, int32_t accepted) {
        static_cast<ServedStream*>(user)->on_written(accepted != 0);
      },
      [](void* user, int32_t code) {
        static_cast<ServedStream*>(user)->on_broken(
            Status(static_cast<imctl_code>(code), "the caller went away, or may not stay"));
      },
      [](void* user) { static_cast<ServedStream*>(user)->on_released(); },
      nullptr};
  keep();
  call_ = call;
  host().calls().bind(call, &kEvents, this);
}

void ServedStream::abi_read() { host().calls().read(call_); }
void ServedStream::abi_write(imctl_buffer* message) { host().calls().write(call_, message); }
void ServedStream::abi_end(const Status& status) { host().finish(call_, status, Buffer()); }

// ---- dialed

DialedStream::~DialedStream() {
  if (imctl_client_call* call = call_.load()) host().client().release(call);
}

void DialedStream::dial(const imctl_target* target) {
  static constexpr imctl_client_events kEvents = {
      sizeof(imctl_client_events), 0,
      [](void* user, imctl_buffer* message) {
        static_cast<DialedStream*>(user)->on_message(message);
      },
      [](void* user, int32_t accepted) {
        static_cast<DialedStream*>(user)->on_written(accepted != 0);
      },
      [](void* user, const imctl_status* status, imctl_buffer* reply) {
        auto* self = static_cast<DialedStream*>(user);
        self->host().adopt(reply);
        Status end(status);
        if (end.ok()) end = Status(IMCTL_UNAVAILABLE, "it ended the link");
        self->on_broken(std::move(end));
        self->on_released();
      }};
  keep();
  imctl_client_options options{sizeof(imctl_client_options)};
  call_ = host().client().start(host().raw(), target, &options, nullptr, &kEvents, this);
}

void DialedStream::abi_read() { host().client().read(call_); }
void DialedStream::abi_write(imctl_buffer* message) { host().client().write(call_, message); }
void DialedStream::abi_end(const Status& /*status*/) { host().client().cancel(call_); }

}  // namespace imctl::router
