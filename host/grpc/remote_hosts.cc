#include "grpc/remote_hosts.h"

#include <condition_variable>
#include <mutex>
#include <set>
#include <thread>
#include <utility>

#include "grpc/node_credential.h"
#include "grpc/remote_catalog.h"
#include "grpc/remote_channel.h"
#include "grpc/remote_code.h"

namespace imctl::host {
namespace {

constexpr std::chrono::seconds kAnswer{3};

// Tells the host of changes elsewhere on a thread of its own: what the host then does ends the
// watch that found the change.
class Announcer {
 public:
  using Hook = std::function<void(const std::string& address)>;

  ~Announcer() { set({}); }

  // Nothing: no more, and none is under way when this returns. Not from the hook.
  void set(Hook hook) {
    stop();
    if (hook == nullptr) return;
    stopping_ = false;
    thread_ = std::thread([this, hook = std::move(hook)] { loop(hook); });
  }

  void announce(const std::string& address) {
    {
      std::lock_guard lock(mutex_);
      addresses_.insert(address);
    }
    wake_.notify_all();
  }

 private:
  void stop() {
    {
      std::lock_guard lock(mutex_);
      stopping_ = true;
    }
    wake_.notify_all();
    if (thread_.joinable()) thread_.join();
  }

  void loop(const Hook& hook) {
    std::unique_lock lock(mutex_);
    for (;;) {
      wake_.wait(lock, [this] { return stopping_ || !addresses_.empty(); });
      if (stopping_) return;
      std::string address = *addresses_.begin();
      addresses_.erase(addresses_.begin());
      lock.unlock();
      hook(address);
      lock.lock();
    }
  }

  std::mutex mutex_;
  std::condition_variable wake_;
  std::set<std::string> addresses_;
  bool stopping_ = true;
  std::thread thread_;
};

class GrpcRemoteHosts final : public RemoteHosts {
 public:
  Status check(const RemoteSettings& settings) const override {
    return check_node_credential(settings);
  }

  Status configure(RemoteSettings settings) override {
    Status status = check(settings);
    if (!status.ok()) return status;
    std::lock_guard lock(mutex_);
    settings_ = std::move(settings);
    return {};
  }

  Result<std::shared_ptr<const Description>> describe(
      const std::string& address, const std::vector<std::string>& services) override {
    RemoteSettings settings;
    {
      std::lock_guard lock(mutex_);
      settings = settings_;
    }
    Result<std::shared_ptr<grpc::Channel>> channel = make_remote_channel(address, settings);
    if (!channel.ok()) return channel.status();
    RemoteCache cache(settings.cache, address);
    std::optional<v1::GetCatalogResponse> catalog = cache.load();
    grpc::ClientContext context;
    Result<v1::GetCatalogResponse> answer = fetch_catalog(
        *channel, settings, catalog ? catalog->digest() : std::string(), kAnswer, &context);
    bool is_new = answer.ok() && !(catalog && answer->digest() == catalog->digest());
    if (is_new) catalog = *answer;
    Result<std::shared_ptr<RemoteDescription>> described =
        describe_remote(address, services, settings, catalog ? &*catalog : nullptr);
    if (!described.ok() && !answer.ok()) {
      // What was kept is of a time before these services were bound.
      described = describe_remote(address, services, settings, nullptr);
    }
    if (!described.ok()) return described.status();
    if (is_new) cache.store(*catalog);
    if (!answer.ok()) (*described)->problem = answer.status().message();
    return std::shared_ptr<const Description>(std::move(*described));
  }

  Result<std::unique_ptr<ModuleCode>> make_code(
      std::shared_ptr<const Description> description) override {
    std::string address = description->remote;
    return make_remote_code(
        std::static_pointer_cast<const RemoteDescription>(std::move(description)),
        [announcer = announcer_, address] { announcer->announce(address); });
  }

  Result<std::unique_ptr<ModuleCode>> make_forwarder(const std::string& address) override {
    std::lock_guard lock(mutex_);
    return host::make_forwarder(address, settings_);
  }

  void on_changed(std::function<void(const std::string& address)> hook) override {
    announcer_->set(std::move(hook));
  }

 private:
  const std::shared_ptr<Announcer> announcer_ = std::make_shared<Announcer>();
  std::mutex mutex_;
  RemoteSettings settings_;
};

}  // namespace

std::shared_ptr<RemoteHosts> make_remote_hosts() { return std::make_shared<GrpcRemoteHosts>(); }

}  // namespace imctl::host
