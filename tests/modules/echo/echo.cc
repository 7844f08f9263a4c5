#include <atomic>
#include <memory>
#include <mutex>
#include <stdexcept>
#include <thread>
#include <utility>
#include <vector>

#include "echo.pb.h"
#include "imctl/sdk.h"

namespace {

using imctl::Context;
using imctl::Reader;
using imctl::Responder;
using imctl::Result;
using imctl::Status;
using imctl::Stream;
using imctl::Task;
using imctl::Writer;
using namespace imctl::test::echo::v1;  // NOLINT: all that this file is about

class EchoModule : public imctl::Module {
 public:
  explicit EchoModule(const imctl::Host& handle)
      : Module(handle),
        nest_(handle, "/imctl.test.echo.v1.Echo/Nest"),
        unary_(handle, "/imctl.test.echo.v1.Echo/Unary"),
        wait_(handle, "/imctl.test.echo.v1.Echo/Wait"),
        hang_(handle, "/imctl.test.echo.v1.Echo/Hang") {
    serve("/imctl.test.echo.v1.Echo/Unary", &EchoModule::unary);
    serve("/imctl.test.echo.v1.Echo/Later", &EchoModule::later);
    serve("/imctl.test.echo.v1.Echo/Blocking", &EchoModule::unary);
    serve("/imctl.test.echo.v1.Echo/Context", &EchoModule::context);
    serve("/imctl.test.echo.v1.Echo/Hang", &EchoModule::hang);
    serve("/imctl.test.echo.v1.Echo/Throw", &EchoModule::fail);
    serve("/imctl.test.echo.v1.Echo/Keep", &EchoModule::keep);
    serve("/imctl.test.echo.v1.Echo/Drop", &EchoModule::drop);
    serve("/imctl.test.echo.v1.Echo/Source", &EchoModule::source);
    serve("/imctl.test.echo.v1.Echo/Sink", &EchoModule::sink);
    serve("/imctl.test.echo.v1.Echo/Deaf", &EchoModule::deaf);
    serve("/imctl.test.echo.v1.Echo/Chat", &EchoModule::chat);
    serve("/imctl.test.echo.v1.Echo/Nest", &EchoModule::nest);
    serve("/imctl.test.echo.v1.Echo/AsItself", &EchoModule::as_itself);
    serve("/imctl.test.echo.v1.Echo/Proxy", &EchoModule::proxy);
    serve("/imctl.test.echo.v1.Echo/Wait", &EchoModule::wait);
    serve("/imctl.test.echo.v1.Echo/GetStats", &EchoModule::get_stats);
  }

  Status quiesce() override {
    std::vector<std::thread> threads;
    {
      std::lock_guard lock(mutex_);
      threads.swap(threads_);
    }
    for (std::thread& thread : threads) thread.join();
    return {};
  }

 private:
  Result<Payload> unary(const Payload& request, const Context&) { return request; }

  void later(const Payload& request, const Context&, Responder<Payload> responder) {
    std::lock_guard lock(mutex_);
    threads_.emplace_back(
        [request, responder = std::move(responder)]() mutable { responder.finish(request); });
  }

  Seen see(const Context& context) {
    Seen seen;
    seen.set_principal(std::string(context.principal()));
    seen.set_principal_kind(context.principal_kind());
    seen.set_caller_module(std::string(context.caller_module()));
    seen.set_call_id(std::string(context.call_id()));
    seen.set_depth(context.depth());
    seen.set_dry_run(context.dry_run());
    seen.set_has_deadline(context.deadline() != 0);
    seen.set_metadata(std::string(context.metadata("x-test")));
    seen.set_on_pool(host().on_pool_thread());
    return seen;
  }
  Result<Seen> context(const Payload&, const Context& context) {
    context.add_trailer("x-trailer", "seen");
    context.add_trailer("X-Upper", "dropped");
    context.add_trailer("x-test", context.metadata("x-test"));
    return see(context);
  }

  // Polls, so that it needs no notice.
  void hang(const Payload&, const Context& context, Responder<Payload> responder) {
    std::lock_guard lock(mutex_);
    threads_.emplace_back([this, context, responder = std::move(responder)]() mutable {
      while (!context.cancelled()) std::this_thread::yield();
      cancelled_.fetch_add(1);
      responder.finish(Status(IMCTL_CANCELLED, "noticed"));
    });
  }

  Result<Payload> fail(const Payload& request, const Context&) {
    throw std::runtime_error(request.text());
  }
  void drop(const Payload&, const Context&, Responder<Payload>) {}
  void keep(const Payload&, const Context&, Responder<Payload> responder) {
    std::lock_guard lock(mutex_);
    kept_.push_back(std::move(responder));
  }

  Task<Status> source(const Payload& request, Writer<Payload>& writer) {
    Payload message;
    message.set_data(request.data());
    for (uint32_t i = 0; request.count() == 0 || i < request.count(); ++i) {
      message.set_count(i);
      if (!co_await writer.write(message)) {
        cancelled_.fetch_add(1);
        co_return Status(IMCTL_CANCELLED, "the stream is gone");
      }
      written_.fetch_add(1);
    }
    co_return Status();
  }

  Task<Result<Payload>> sink(Reader<Payload>& reader) {
    Payload total;
    while (std::optional<Payload> message = co_await reader.read()) {
      total.set_count(total.count() + 1);
      read_.fetch_add(1);
    }
    co_return total;
  }

  Task<Result<Payload>> deaf(Reader<Payload>& reader) {
    auto gone = std::make_shared<imctl::Event>();
    reader.on_cancel([gone](imctl_code) { gone->set(); });
    co_await *gone;
    cancelled_.fetch_add(1);
    co_return Status(IMCTL_CANCELLED, "the stream is gone");
  }

  Task<Status> chat(Stream<Payload, Payload>& stream) {
    while (std::optional<Payload> message = co_await stream.read()) {
      if (!co_await stream.write(*message)) break;
    }
    co_return Status();
  }

  Task<Result<Seen>> nest(const Payload& request, const Context& context) {
    if (request.count() == 0) co_return see(context);
    Payload next = request;
    next.set_count(request.count() - 1);
    co_return co_await nest_(next, {.parent = &context});
  }

  Task<Result<Payload>> as_itself(const Payload& request, const Context&) {
    imctl::Method<Payload, Payload> method(host(), request.text());
    co_return co_await method(request);
  }

  Result<Payload> wait(const Payload& request, const Context& context) {
    if (request.text() == "hang") return hang_.wait(request, {.parent = &context});
    if (request.count() == 0) return unary_.wait(request, {.parent = &context});
    Payload next = request;
    next.set_count(request.count() - 1);
    return wait_.wait(next, {.parent = &context});
  }

  Task<Status> proxy(Stream<Payload, Payload>& stream) {
    std::optional<Payload> message = co_await stream.read();
    bool nowhere = message && message->text() == "nowhere";
    imctl::Method<Payload, Payload> target(
        host(), nowhere ? "/no.such.Service/Method" : "/imctl.test.echo.v1.Echo/Chat");
    imctl::ClientStream<Payload, Payload> chat(target, {.parent = &stream.context()});
    for (; message; message = co_await stream.read()) {
      if (!co_await chat.write(*message)) break;
      std::optional<Payload> answer = co_await chat.read();
      if (!answer || !co_await stream.write(*answer)) break;
    }
    chat.writes_done();
    imctl::Result<imctl::Buffer> end = co_await chat.finish();
    // Over is over, however often one asks.
    if (co_await chat.read() || co_await chat.write(Payload())) {
      co_return Status(IMCTL_INTERNAL, "a call goes on after its end");
    }
    co_return end.status();
  }

  Result<Stats> get_stats(const Payload&, const Context&) {
    Stats stats;
    stats.set_cancelled(cancelled_.load());
    stats.set_written(written_.load());
    stats.set_read(read_.load());
    return stats;
  }

  imctl::Method<Payload, Seen> nest_;
  imctl::Method<Payload, Payload> unary_;
  imctl::Method<Payload, Payload> wait_;
  imctl::Method<Payload, Payload> hang_;
  std::atomic<uint64_t> cancelled_{0}, written_{0}, read_{0};
  std::mutex mutex_;
  std::vector<std::thread> threads_;
  std::vector<Responder<Payload>> kept_;
};

}  // namespace

IMCTL_MODULE(EchoModule)
