#include "grpc/streaming.h"

#include <mutex>
#include <optional>

#include "core/host.h"
#include "grpc/credentials.h"
#include "grpc/exchange.h"
#include "road/call.h"
#include "road/method_table.h"

namespace imctl::host {
namespace {

// One read and one write of gRPC's are outstanding at most; the next is asked for when the other
// side took the last, so what waits here is bounded by the call's window and one message each way.
class StreamReactor final : public ByteReactor, public Caller {
 public:
  StreamReactor(const Entrance& entrance, MethodSlot* target, grpc::CallbackServerContext* context)
      : entrance_(entrance), target_(target), context_(context) {
    std::shared_ptr<const Route> route = target->route();
    if (route != nullptr) {
      client_streams_ = route->served->info.client_streams;
      server_streams_ = route->served->info.server_streams;
    }
  }

  void start() {
    if (client_streams_ && !begin(BufferRef())) return;
    StartRead(&incoming_);
  }

  void OnReadDone(bool ok) override {
    if (client_streams_) {
      if (ok) {
        call_->caller_write(from_byte_buffer(incoming_));
      } else {
        call_->caller_writes_done();
      }
      return;
    }
    if (ok) {
      (void)begin(from_byte_buffer(incoming_));
    } else {
      Finish(grpc::Status(grpc::StatusCode::INVALID_ARGUMENT, "the call has no request message"));
    }
  }

  void OnWriteDone(bool ok) override {
    std::optional<Status> finish;
    {
      std::lock_guard lock(mutex_);
      writing_ = false;
      finish.swap(finish_);
    }
    if (finish) {
      Finish(to_grpc(*finish));
    } else if (ok) {
      call_->caller_read();
    } else {
      call_->caller_gone();
    }
  }

  void OnCancel() override {
    std::lock_guard lock(begin_mutex_);
    cancelled_ = true;
    if (call_) call_->caller_gone();
  }

  void OnDone() override { delete this; }

  void on_message(BufferRef message, bool more) override {
    if (!message) return;  // the end; on_finish follows
    outgoing_ = to_byte_buffer(std::move(message));
    {
      std::lock_guard lock(mutex_);
      writing_ = true;
    }
    grpc::WriteOptions options;
    // What follows at once goes to the wire with it. Not the first, which carries the headers: gRPC
    // would hold those back too and never tell that they were written.
    if (more && headers_sent_) options.set_buffer_hint();
    headers_sent_ = true;
    StartWrite(&outgoing_, options);
  }

  void on_written(bool accepted) override {
    if (accepted) StartRead(&incoming_);
  }

  void on_finish(const Status& status, BufferRef reply) override {
    add_trailers(*context_, *call_.get(), status);
    {
      std::lock_guard lock(mutex_);
      if (writing_) {
        finish_ = status;
        // A client that does not read must not hold up the end of a cancelled call.
        if (call_->cancelled() != 0) context_->TryCancel();
        return;
      }
    }
    if (status.ok() && !server_streams_) {
      outgoing_ = to_byte_buffer(std::move(reply));
      StartWriteAndFinish(&outgoing_, grpc::WriteOptions(), grpc::Status::OK);
    } else {
      Finish(to_grpc(status));
    }
  }

 private:
  // False: it was refused, and that is how it ends.
  bool begin(BufferRef request) {
    Result<CallParams> params = call_params(entrance_, target_, *context_);
    if (!params.ok()) {
      Finish(to_grpc(params.status()));
      return false;
    }
    params->request = std::move(request);
    Call* call = new Call(std::move(*params), this);
    bool cancelled = false;
    {
      std::lock_guard lock(begin_mutex_);
      call_ = CallRef(call);
      cancelled = cancelled_;
    }
    // Answered and held back until the handler has begun, so that reads and writes never race with
    // it.
    if (server_streams_) call->caller_read();
    if (cancelled) call->caller_gone();
    entrance_.host.dispatcher().start(*call);
    return true;
  }

  const Entrance& entrance_;
  MethodSlot* const target_;
  grpc::CallbackServerContext* const context_;
  bool client_streams_ = false;
  bool server_streams_ = false;
  bool headers_sent_ = false;
  grpc::ByteBuffer incoming_;
  grpc::ByteBuffer outgoing_;
  std::mutex begin_mutex_;
  bool cancelled_ = false;
  CallRef call_;
  std::mutex mutex_;
  bool writing_ = false;
  std::optional<Status> finish_;
};

// Ends a call that never became one.
class Refusal final : public ByteReactor {
 public:
  explicit Refusal(const grpc::Status& status) { Finish(status); }
  void OnDone() override { delete this; }
};

}  // namespace

ByteReactor* start_stream(const Entrance& entrance, MethodSlot* target,
                          grpc::CallbackServerContext* context) {
  auto* reactor = new StreamReactor(entrance, target, context);
  reactor->start();
  return reactor;
}

ByteReactor* start_by_name(const Entrance& entrance, const std::string& name,
                           grpc::CallbackServerContext* context) {
  MethodSlot* target = entrance.host.methods().find_public(name);
  if (target == nullptr || target->route() == nullptr) {
    add_trailers(*context);
    return new Refusal(to_grpc(entrance.host.not_served(name)));
  }
  return start_stream(entrance, target, context);
}

}  // namespace imctl::host
