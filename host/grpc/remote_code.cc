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

class RemoteCode final : public ModuleCode {
 public:
  RemoteCode(std::shared_ptr<const RemoteDescription> description,
             std::shared_ptr<grpc::Channel> channel, std::function<void()> on_changed)
      : description_(std::move(description)),
        channel_(std::move(channel)),
        target_(
            std::make_unique<RemoteTarget>(description_->remote, description_->settings, channel_)),
        on_changed_(std::move(on_changed)) {}

  Status create(imctl_host* host) override {
    instance_ = static_cast<HostHandle*>(host)->instance;
    if (!description_->problem.empty()) {
      instance_->set_health(false, description_->problem);
      instance_->road()->log(IMCTL_LOG_WARN, instance_->name(), nullptr,
                             "cannot be reached: " + description_->problem);
    }
    return {};
  }

  Result<std::map<std::string, imctl_method>> methods() override {
    std::map<std::string, imctl_method> handlers;
    for (const MethodInfo& info : instance_->spec().methods) {
      methods_.push_back({target_.get(), info.name, info.client_streams, info.server_streams});
      handlers[info.name] = {sizeof(imctl_method), 0, {}, &RemoteCode::start, &methods_.back()};
    }
    return handlers;
  }

  Status prepare(const ModuleSettings& /*settings*/) override { return {}; }

  Status activate() override {
    watch_.emplace(channel_, *description_,
                   RemoteWatch::Events{[this](bool serving, const std::string& reason) {
                                         if (serving != instance_->is_serving() || !serving) {
                                           instance_->set_health(serving, reason);
                                         }
                                       },
                                       on_changed_});
    watch_->start();
    return {};
  }

  Status quiesce() override { return {}; }

  Status deactivate() override {
    watch_.reset();
    return {};
  }

  void destroy() override {
    watch_.reset();
    target_->in_work->wait_empty();
  }

  bool handlers_block() const override { return false; }
  std::string where() const override { return description_->remote; }

 private:
  static void start(void* user, imctl_call* call, const imctl_context* /*context*/,
                    imctl_buffer* request) {
    forward_call(*static_cast<RemoteMethod*>(user), Call::from(call), BufferRef(request));
  }

  const std::shared_ptr<const RemoteDescription> description_;
  // Goes when this does, on the thread that stops modules and never on gRPC's.
  const std::shared_ptr<grpc::Channel> channel_;
  const std::unique_ptr<RemoteTarget> target_;
  const std::function<void()> on_changed_;
  Instance* instance_ = nullptr;
  std::deque<RemoteMethod> methods_;
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

}  // namespace imctl::host
