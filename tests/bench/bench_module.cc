#include <chrono>

#include "bench.pb.h"
#include "imctl/sdk.h"

namespace {

using imctl::Buffer;
using imctl::Context;
using imctl::Result;
using imctl::Status;
using imctl::Task;
using imctl::Writer;
using namespace imctl::bench::v1;  // NOLINT: all that this file is about

class BenchModule : public imctl::Module {
 public:
  explicit BenchModule(const imctl::Host& handle)
      : Module(handle), peer_(handle, "/imctl.bench.v1.Peer/Unary") {
    serve("/imctl.bench.v1.Bench/Unary", &BenchModule::unary);
    serve("/imctl.bench.v1.Bench/Source", &BenchModule::source);
    serve("/imctl.bench.v1.Bench/Chain", &BenchModule::chain);
  }

 private:
  Result<Payload> unary(const Payload& request, const Context&) { return request; }

  Task<Status> source(const SourceRequest& request, Writer<Payload>& writer) {
    Payload message;
    message.set_data(std::string(request.size(), 'x'));
    for (uint32_t i = 0; i < request.messages(); ++i) {
      if (!co_await writer.write(message)) break;
    }
    co_return Status();
  }

  Task<Result<ChainReply>> chain(const ChainRequest& request, const Context& context) {
    Buffer nothing = host().copy("");
    auto start = std::chrono::steady_clock::now();
    for (uint32_t i = 0; i < request.calls(); ++i) {
      Result<Buffer> reply = co_await peer_(nothing, {.parent = &context});
      if (!reply.ok()) co_return reply.status();
    }
    ChainReply reply;
    reply.set_nanoseconds(static_cast<uint64_t>(
        std::chrono::nanoseconds(std::chrono::steady_clock::now() - start).count()));
    co_return reply;
  }

  imctl::Method<Buffer, Buffer> peer_;
};

}  // namespace

IMCTL_MODULE(BenchModule)
