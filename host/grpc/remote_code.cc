#include "grpc/remote_code.h"

#include <deque>
#include <optional>
#include <utility>

#include "grpc/remote_call.h"
#include "grpc/remote_channel.h"
#include "grpc/remote_watch.h"
#include "road/instance.h"
#include "road/road.h"

namespace imctl::host {
namespace {

// Passes calls on.
class Forwarder : public ModuleCode {
 public:
  Forwarder(const std::string& address, const RemoteSettings& settings,
            std::shared_ptr<grpc::Channel> channel)
      : channel_(std::move(channel)),
        target_(std::make_unique<RemoteTarget>(address, settings, channel_)) {}

  Status create(imctl_host* host) override {
    instance_ = static_cast<HostHandle*>(host)->instance;
    return {};
  }

  Result<std::map<std::string, imctl_method>> methods() override {
    std::map<std::string, imctl_method> handlers;
    for (const MethodInfo& info : instance_->spec().methods) {
      methods_.push_back({target_.get(), info.name, info.client_streams, info.server_streams});
      handlers[info.name] = {sizeof(imctl_method), 0, {}, &Forwarder::start, &methods_.back()};
    }
    return handlers;
  }

  Status prepare(const ModuleSettings& /*settings*/) override { return {}; }
  Status activate() override { return {}; }
  Status quiesce() override { return {}; }
  Status deactivate() override { return {}; }
  void destroy() override { target_->in_work->wait_empty(); }

  bool handlers_block() const override { return false; }
  std::string where() const override { return target_->address; }

 protected:
  Instance& instance() { return *instance_; }
  const std::shared_ptr<grpc::Channel>& channel() { return channel_; }

 private:
  static void start(void* user, imctl_call* call, const imctl_context* /*context*/,
                    imctl_buffer* request) {
    forward_call(*static_cast<RemoteMethod*>(user), Call::from(call), BufferRef(request));
  }

  // Goes when this does, on the thread that stops modules and never on gRPC's.
  const std::shared_ptr<grpc::Channel> channel_;
  const std::unique_ptr<RemoteTarget> target_;
  Instance* instance_ = nullptr;
  std::deque<RemoteMethod> methods_;
};

// And stands for what is described.
class RemoteCode final : public Forwarder {
 public:
  RemoteCode(std::shared_ptr<const RemoteDescription> description,
             std::shared_ptr<grpc::Channel> channel, std::function<void()> on_changed)
      : Forwarder(description->remote, description->settings, std::move(channel)),
        description_(std::move(description)),
        on_changed_(std::move(on_changed)) {}

  Status create(imctl_host* host) override {
    Status status = Forwarder::create(host);
    if (!description_->problem.empty()) {
      instance().set_health(false, description_->problem);
      instance().road()->log(IMCTL_LOG_WARN, instance().name(), nullptr,
                             "cannot be reached: " + description_->problem);
    }
    return status;
  }

  Status activate() override {
    watch_.emplace(channel(), *description_,
                   RemoteWatch::Events{[this](bool serving, const std::string& reason) {
                                         if (serving != instance().is_serving() || !serving) {
                                           instance().set_health(serving, reason);
                                         }
                                       },
                                       on_changed_});
    watch_->start();
    return {};
  }

  Status deactivate() override {
    watch_.reset();
    return {};
  }

  void destroy() override {
    watch_.reset();
    Forwarder::destroy();
  }

 private:
  const std::shared_ptr<const RemoteDescription> description_;
  const std::function<void()> on_changed_;
  std::optional<RemoteWatch> watch_;
};

}  // namespace

Result<std::unique_ptr<ModuleCode>> make_remote_code(
    std::shared_ptr<const RemoteDescription> description, std::function<void()> on_changed) {
  Result<std::shared_ptr<grpc::Channel>> channel =
      make_remote_channel(description->remote, description->settings);
  if (!channel.ok()) return channel.status();
  return std::unique_ptr<ModuleCode>(std::make_unique<RemoteCode>(
      std::move(description), std::move(*channel), std::move(on_changed)));
}

Result<std::unique_ptr<ModuleCode>> make_forwarder(const std::string& address,
                                                   const RemoteSettings& settings) {
  Result<std::shared_ptr<grpc::Channel>> channel = make_remote_channel(address, settings);
  if (!channel.ok()) return channel.status();
  return std::unique_ptr<ModuleCode>(
      std::make_unique<Forwarder>(address, settings, std::move(*channel)));
}

}  // namespace imctl::host
