#include <atomic>
#include <chrono>
#include <memory>
#include <string>
#include <thread>

#include "bench.pb.h"
#include "imctl/sdk.h"

namespace {

using imctl::Buffer;
using imctl::Context;
using imctl::Event;
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
    serve("/imctl.bench.v1.Bench/Flood", &BenchModule::flood);
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

  // A thread that writes lines while others are called.
  Task<Status> flood(const FloodRequest& request, Writer<FloodReply>& writer) {
    auto over = std::make_shared<Event>();
    auto stop = std::make_shared<std::atomic<bool>>(false);
    writer.on_cancel([over](imctl_code) { over->set(); });
    FloodReply begun;
    if (!co_await writer.write(begun)) co_return Status();
    imctl_log_level level = request.silent() ? IMCTL_LOG_DEBUG : IMCTL_LOG_INFO;
    std::thread thread([this, stop, level, rate = request.rate()] {
      const std::string line(100, 'x');
      auto start = std::chrono::steady_clock::now();
      for (uint64_t lines = 1; !stop->load(std::memory_order_relaxed); ++lines) {
        host().log(level, line);
        if (rate == 0) continue;
        std::this_thread::sleep_until(start +
                                      std::chrono::nanoseconds(1'000'000'000 / rate) * lines);
      }
    });
    co_await *over;
    *stop = true;
    thread.join();
    co_return Status(IMCTL_CANCELLED, "the flood is over");
  }

  imctl::Method<Buffer, Buffer> peer_;
};

}  // namespace

IMCTL_MODULE(BenchModule)
