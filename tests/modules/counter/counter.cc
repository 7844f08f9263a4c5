#include <atomic>
#include <chrono>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "counter.pb.h"
#include "imctl/sdk.h"

namespace {

namespace v1 = imctl::test::counter::v1;
using imctl::Context;
using imctl::Result;
using imctl::Status;
using imctl::Task;

class Counter : public imctl::Module {
 public:
  explicit Counter(const imctl::Host& host)
      : Module(host), add_(host, "/imctl.test.counter.v1.Counter/Add") {
    serve("/imctl.test.counter.v1.Counter/Add", &Counter::add);
    serve("/imctl.test.counter.v1.Counter/Slow", &Counter::slow);
    serve("/imctl.test.counter.v1.Counter/SlowBlocking", &Counter::slow_blocking);
    serve("/imctl.test.counter.v1.Counter/AddSlowly", &Counter::add_slowly);
    serve("/imctl.test.counter.v1.Counter/Count", &Counter::count);
    serve("/imctl.test.counter.v1.Counter/Endless", &Counter::endless);
  }

  Status prepare(const imctl::Settings& settings) override {
    config_ = settings.as<v1::Config>();
    return fail("prepare");
  }
  Status activate() override {
    std::this_thread::sleep_for(std::chrono::seconds(config_.activate_takes().seconds()) +
                                std::chrono::nanoseconds(config_.activate_takes().nanos()));
    active_ = true;
    if (config_.fail() == "ill") host().set_health(false, "told to be ill");
    return fail("activate");
  }
  Status deactivate() override {
    active_ = false;
    std::vector<std::thread> threads;
    {
      std::lock_guard lock(mutex_);
      threads.swap(threads_);
    }
    for (std::thread& thread : threads) thread.join();
    return {};
  }
  Result<std::string> save() override { return std::to_string(sum_); }
  Status restore(std::string_view state) override {
    sum_ = std::stoull(std::string(state));
    return fail("restore");
  }

 private:
  Status fail(const char* step) const {
    if (config_.fail() != step) return {};
    return {IMCTL_FAILED_PRECONDITION, std::string("told to fail in ") + step};
  }
  static v1::Number number(uint64_t value) {
    v1::Number made;
    made.set_value(value);
    made.set_version(COUNTER_VERSION);
    return made;
  }

  Result<v1::Number> add(const v1::Number& request, const Context&) {
    // A copy that is not active must never be called.
    if (!active_) return Status(IMCTL_INTERNAL, "called while not active");
    return number(sum_ += request.value());
  }

  void slow(const v1::Number& request, const Context&, imctl::Responder<v1::Number> responder) {
    auto held = std::make_shared<imctl::Responder<v1::Number>>(std::move(responder));
    std::lock_guard lock(mutex_);
    threads_.emplace_back([held, wait = request.value()] {
      std::this_thread::sleep_for(std::chrono::milliseconds(wait));
      held->finish(number(wait));
    });
  }

  Result<v1::Number> slow_blocking(const v1::Number& request, const Context&) {
    std::this_thread::sleep_for(std::chrono::milliseconds(request.value()));
    return number(request.value());
  }

  void add_slowly(const v1::Number& request, const Context& context,
                  imctl::Responder<v1::Number> responder) {
    auto held = std::make_shared<imctl::Responder<v1::Number>>(std::move(responder));
    auto shared = std::make_shared<Context>(context);
    std::lock_guard lock(mutex_);
    threads_.emplace_back([this, held, shared, times = request.value()] {
      for (uint64_t i = 0; i < times; ++i) {
        std::this_thread::sleep_for(std::chrono::milliseconds(times));
        std::atomic<bool> done = false;
        Status status;
        [](Counter* self, const Context* parent, Status* end,
           std::atomic<bool>* over) -> imctl::detail::Detached {
          v1::Number one;
          one.set_value(1);
          Result<v1::Number> sum = co_await self->add_(one, {.parent = parent});
          *end = sum.status();
          *over = true;
          over->notify_one();
        }(this, shared.get(), &status, &done);
        done.wait(false);
        if (!status.ok()) return held->finish(status);
      }
      held->finish(number(sum_));
    });
  }

  Task<Status> count(const v1::Number&, imctl::Writer<v1::Number>& writer) {
    auto moving = std::make_shared<std::atomic<bool>>(false);
    writer.on_moving([moving] { *moving = true; });
    std::string token(writer.context().resume_token());
    uint64_t at = token.empty() ? 0 : std::stoull(token);
    while (co_await writer.write(number(at))) {
      ++at;
      if (!*moving) continue;
      writer.context().set_resume_token(std::to_string(at));
      co_return Status(IMCTL_UNAVAILABLE, "the module moves: go on with the resume token");
    }
    co_return Status(IMCTL_CANCELLED, "the stream is gone");
  }

  Task<Status> endless(const v1::Number&, imctl::Writer<v1::Number>& writer) {
    uint64_t at = 0;
    while (co_await writer.write(number(at))) ++at;
    co_return Status(IMCTL_CANCELLED, "the stream is gone");
  }

  imctl::Method<v1::Number, v1::Number> add_;
  v1::Config config_;
  std::atomic<bool> active_{false};
  std::atomic<uint64_t> sum_{0};
  std::mutex mutex_;
  std::vector<std::thread> threads_;
};

}  // namespace

IMCTL_MODULE(Counter)
