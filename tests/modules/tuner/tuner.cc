#include <mutex>
#include <string>

#include "imctl/sdk.h"
#include "tuner.pb.h"

namespace {

using imctl::Context;
using imctl::Result;
using imctl::Settings;
using imctl::Status;
using imctl::Task;
using namespace imctl::test::tuner::v1;  // NOLINT: all that this file is about

class Tuner : public imctl::Module {
 public:
  explicit Tuner(const imctl::Host& host)
      : Module(host), other_(host, "/imctl.test.tuner.v1.TunerB/Say") {
    serve("/imctl.test.tuner.v1." TUNER "/Show", &Tuner::show);
    serve("/imctl.test.tuner.v1." TUNER "/Say", &Tuner::say);
  }

  Status prepare(const Settings& settings) override {
    auto config = settings.as<Config>();
    if (config.word() == "forbidden") return {IMCTL_INVALID_ARGUMENT, "word: may not be that"};
    std::lock_guard lock(mutex_);
    config_ = config;
    return {};
  }

#ifndef TUNER_DEAF
  Status apply(const Settings& settings) override {
    auto config = settings.as<Config>();
    if (config.word() == "stubborn") return {IMCTL_ABORTED, "word: not now"};
    std::lock_guard lock(mutex_);
    config_ = config;
    return {};
  }
#endif

 private:
  Result<ShowReply> show(const ShowRequest&, const Context&) {
    ShowReply reply;
    std::lock_guard lock(mutex_);
    reply.set_speed(config_.speed());
    reply.set_size(config_.size());
    reply.set_word(config_.word());
    reply.set_password_size(static_cast<uint32_t>(config_.password().size()));
    *reply.mutable_names() = config_.names();
    return reply;
  }

  Task<Result<SayReply>> say(const SayRequest& request, const Context& context) {
    imctl_log_level level = request.level() == "debug"  ? IMCTL_LOG_DEBUG
                            : request.level() == "warn" ? IMCTL_LOG_WARN
                                                        : IMCTL_LOG_INFO;
    for (uint32_t i = 0; i < std::max(request.count(), 1U); ++i) context.log(level, request.text());
    if (request.pass_on()) {
      SayRequest next = request;
      next.set_pass_on(false);
      Result<SayReply> reply = co_await other_(next, {.parent = &context});
      if (!reply.ok()) co_return reply.status();
    }
    SayReply reply;
    reply.set_call_id(std::string(context.call_id()));
    co_return reply;
  }

  imctl::Method<SayRequest, SayReply> other_;
  std::mutex mutex_;
  Config config_;
};

}  // namespace

IMCTL_MODULE(Tuner)
