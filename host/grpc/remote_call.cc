#include "grpc/remote_call.h"

#include <atomic>

#include "grpc/exchange.h"
#include "grpc/hop.h"
#include "grpc/remote_channel.h"
#include "imctl/retry.h"

namespace imctl::host {
namespace {

using Reactor = grpc::ClientBidiReactor<grpc::ByteBuffer, grpc::ByteBuffer>;

std::string_view view(const grpc::string_ref& text) { return {text.data(), text.size()}; }

// What both kinds share. Lives until gRPC and the call are done with it.
class Forwarded {
 public:
  Forwarded(const Forwarded&) = delete;
  Forwarded& operator=(const Forwarded&) = delete;

 protected:
  Forwarded(const RemoteMethod& method, Call* call)
      : method_(method), call_(call), in_work_(method.host->in_work) {
    in_work_->add();
    context_ = std::make_unique<grpc::ClientContext>();
    write_hop(call->params(), method.host->settings, context_.get());
  }
  virtual ~Forwarded() {
    context_.reset();  // it holds the channel
    in_work_->remove();
  }

  grpc::ClientContext& context() { return *context_; }

  // gRPC is done with it. `this` may be gone.
  void finish(const grpc::Status& status, BufferRef reply) {
    for (const auto& [key, value] : context_->GetServerTrailingMetadata()) {
      std::string_view name = view(key);
      if (name.substr(0, 5) == "grpc-" || name == kCallIdMetadata || name == kNodeRefusedMetadata) {
        continue;
      }
      call_->add_trailer(name, view(value));
    }
    call_->finish(ended(status), std::move(reply));
    unref();
  }

  void cancel() { context_->TryCancel(); }

  void unref() {
    if (refs_.fetch_sub(1, std::memory_order_acq_rel) == 1) delete this;
  }

  const RemoteMethod& method_;
  Call* const call_;

 private:
  Status ended(const grpc::Status& status) const {
    if (status.ok()) return {};
    const RemoteTarget& host = *method_.host;
    auto code = static_cast<imctl_code>(status.error_code());
    if (is_answer(*context_)) {
      const auto& trailers = context_->GetServerTrailingMetadata();
      bool refused = trailers.find(grpc::string_ref(kNodeRefusedMetadata.data(),
                                                    kNodeRefusedMetadata.size())) != trailers.end();
      if (!refused) return {code, status.error_message(), status.error_details()};
      // The caller's own credential is not what was refused.
      return {IMCTL_UNAVAILABLE,
              method_.name + " is bound to " + host.address +
                  ", which does not accept this host: " + status.error_message()};
    }
    if (code == IMCTL_UNAVAILABLE) {
      return retry_later(code, method_.name + " is bound to " + host.address +
                                   ", which cannot be reached: " + reason_of(status, *context_));
    }
    return {code, status.error_message(), status.error_details()};
  }

  std::atomic<int> refs_{2};  // gRPC's, until the end; the call's, until it is released
  const std::shared_ptr<CallsInWork> in_work_;
  std::unique_ptr<grpc::ClientContext> context_;
};

class ForwardedUnary final : public Forwarded {
 public:
  ForwardedUnary(const RemoteMethod& method, Call* call, BufferRef request)
      : Forwarded(method, call), request_(to_byte_buffer(std::move(request))) {}

  void start() {
    imctl_call_events events{sizeof(imctl_call_events)};
    events.on_cancel = [](void* user, int32_t) { static_cast<ForwardedUnary*>(user)->cancel(); };
    events.on_released = [](void* user) { static_cast<ForwardedUnary*>(user)->unref(); };
    call_->bind(events, this);
    method_.host->stub.UnaryCall(
        &context(), method_.name, {}, &request_, &reply_, [this](const grpc::Status& status) {
          finish(status, status.ok() ? from_byte_buffer(reply_) : BufferRef());
        });
  }

 private:
  grpc::ByteBuffer request_;
  grpc::ByteBuffer reply_;
};

// Streams of all three kinds; for gRPC they are all bidirectional. One read and one write of gRPC's
// are outstanding at most, and the next is asked for when the other side took the last: what waits
// here is one message each way.
//
// gRPC says that it is over once nothing is outstanding; a hold for each direction keeps it from
// that while the next step is not gRPC's but the call's.
class ForwardedStream final : public Forwarded, public Reactor {
 public:
  ForwardedStream(const RemoteMethod& method, Call* call) : Forwarded(method, call) {}

  void start(BufferRef request) {
    imctl_call_events events{sizeof(imctl_call_events)};
    events.on_message = [](void* user, imctl_buffer* message) {
      static_cast<ForwardedStream*>(user)->on_message(BufferRef(message));
    };
    events.on_written = [](void* user, int32_t accepted) {
      static_cast<ForwardedStream*>(user)->on_written(accepted != 0);
    };
    events.on_cancel = [](void* user, int32_t) { static_cast<ForwardedStream*>(user)->cancel(); };
    events.on_released = [](void* user) { static_cast<ForwardedStream*>(user)->unref(); };
    call_->bind(events, this);
    method_.host->stub.PrepareBidiStreamingCall(&context(), method_.name, {}, this);
    AddHold();  // reading
    StartRead(&incoming_);
    if (method_.client_streams) {
      AddHold();  // writing
      call_->read();
    } else {
      writing_over_ = true;
      outgoing_ = to_byte_buffer(std::move(request));
      StartWriteLast(&outgoing_, grpc::WriteOptions());
    }
    StartCall();
  }

  // ---- from the caller to the other host

  void on_message(BufferRef message) {
    {
      std::lock_guard lock(mutex_);
      if (writing_over_) return;
      if (message) {
        outgoing_ = to_byte_buffer(std::move(message));
        StartWrite(&outgoing_);
        return;
      }
      writing_over_ = true;
      StartWritesDone();
    }
    RemoveHold();
  }

  void OnWriteDone(bool ok) override {
    if (!ok) return stop_writing();
    if (method_.client_streams) call_->read();
  }

  // ---- and back

  void OnReadDone(bool ok) override {
    if (ok && method_.server_streams) {
      call_->write(from_byte_buffer(incoming_));
      return;
    }
    // The other host needs no more: that the caller may never say anything again must not keep the
    // end from it.
    if (ok) reply_ = from_byte_buffer(incoming_);
    stop_writing();
    RemoveHold();
  }

  void on_written(bool accepted) {
    if (accepted) {
      StartRead(&incoming_);
    } else {
      cancel();
      RemoveHold();
    }
  }

  void OnDone(const grpc::Status& status) override { finish(status, std::move(reply_)); }

 private:
  void stop_writing() {
    {
      std::lock_guard lock(mutex_);
      if (std::exchange(writing_over_, true)) return;
    }
    RemoveHold();
  }

  grpc::ByteBuffer incoming_;
  grpc::ByteBuffer outgoing_;
  BufferRef reply_;
  std::mutex mutex_;
  bool writing_over_ = false;  // nothing may be written any more, and writing's hold is gone
};

}  // namespace

void forward_call(const RemoteMethod& method, Call* call, BufferRef request) {
  if (method.client_streams || method.server_streams) {
    (new ForwardedStream(method, call))->start(std::move(request));
  } else {
    (new ForwardedUnary(method, call, std::move(request)))->start();
  }
}

}  // namespace imctl::host
