#include "grpc/unary.h"

#include "core/host.h"
#include "grpc/credentials.h"
#include "grpc/exchange.h"
#include "road/call.h"

namespace imctl::host {
namespace {

class UnaryReactor final : public grpc::ServerUnaryReactor, public Caller {
 public:
  UnaryReactor(grpc::CallbackServerContext* context, grpc::ByteBuffer* reply)
      : context_(context), reply_(reply) {}

  void start(const Entrance& entrance, MethodSlot* target, const grpc::ByteBuffer* request) {
    Result<CallParams> params = call_params(entrance, target, *context_);
    if (!params.ok()) {
      Finish(to_grpc(params.status()));
      return;
    }
    grpc::ByteBuffer bytes = *request;  // counts a reference
    params->request = from_byte_buffer(bytes);
    call_ = CallRef(new Call(std::move(*params), this));
    entrance.host.dispatcher().start(*call_.get());
  }

  // Else gRPC gives the end of every call to another thread, which costs more than all of our work.
  // OnDone and OnCancel do not block, as the ABI asks of what they call.
  bool InternalInlineable() override { return true; }
  void OnCancel() override {
    if (call_) call_->caller_gone();
  }
  void OnDone() override { delete this; }

  void on_message(BufferRef /*message*/, bool /*more*/) override {}
  void on_written(bool /*accepted*/) override {}
  void on_finish(const Status& status, BufferRef reply) override {
    add_trailers(*context_, *call_.get(), status);
    if (status.ok()) *reply_ = to_byte_buffer(std::move(reply));
    Finish(to_grpc(status));  // `this` may be gone
  }

 private:
  grpc::CallbackServerContext* const context_;
  grpc::ByteBuffer* const reply_;
  CallRef call_;
};

}  // namespace

grpc::ServerUnaryReactor* start_unary(const Entrance& entrance, MethodSlot* target,
                                      grpc::CallbackServerContext* context,
                                      const grpc::ByteBuffer* request, grpc::ByteBuffer* reply) {
  auto* reactor = new UnaryReactor(context, reply);
  reactor->start(entrance, target, request);
  return reactor;
}

}  // namespace imctl::host
