#include <algorithm>
#include <random>

#include "cluster_service.h"
#include "directory.h"
#include "loop.h"
#include "messages_service.h"
#include "node_shell.h"
#include "orders.h"
#include "service_shell.h"
#include "wire.h"

namespace imctl::router {
namespace {

class RouterModule : public Module {
 public:
  explicit RouterModule(const Host& host)
      : Module(host),
        loop_([this](Time now) { return std::min(node_.turn(now), service_.turn(now)); }),
        directory_(host, &loop_, [this](const std::string& user) { user_changed(user); }),
        orders_(host, &loop_, [this](const std::string& node) { order_changed(node); }),
        node_(host, &loop_, &directory_),
        service_(host, &loop_),
        messages_(&node_, this),
        cluster_(&node_, &service_, &orders_, this) {
    node_.serve(this);
    service_.serve(this);
  }

  ~RouterModule() override { loop_.stop(); }

  Status prepare(const Settings& settings) override {
    Result<Options> options = Options::read(settings);
    if (!options.ok()) return options.status();
    options_ = std::move(*options);
    data_dir_ = settings.data_dir();
    return {};
  }

  Status activate() override {
    Result<uint64_t> boot = next_boot(data_dir_);
    if (!boot.ok()) return boot.status();
    const uint64_t seed = (uint64_t{std::random_device()()} << 32) | std::random_device()();
    directory_.set_timeout(options_.storage_timeout);
    orders_.set_timeout(options_.storage_timeout);
    node_.begin(options_, *boot, seed);
    service_.begin(options_, *boot, seed + 1);
    directory_.begin();
    orders_.begin();
    loop_.start();
    // Calls of this module's own come in when this has returned: until then they are refused, and made
    // again.
    loop_.post([this](Time now) { node_.dial_all(now); });
    return {};
  }

  Status quiesce() override {
    directory_.quiesce();
    orders_.quiesce();
    loop_.post([this](Time now) {
      node_.leave(now);
      service_.leave(now);
    });
    return {};
  }

  Status deactivate() override {
    directory_.wait();
    orders_.wait();
    loop_.stop();
    return {};
  }

 private:
  void user_changed(const std::string& user) {
    loop_.post([this, user](Time) {
      if (node_.is_running()) node_.changed(user);
    });
  }

  void order_changed(const std::string& name) {
    if (name != options_.name) return;
    loop_.post([this](Time now) {
      if (!node_.is_running()) return;
      const std::optional<internal::StoredNode> order = orders_.of(options_.name);
      auto state = NodeState::kActive;
      Time until = 0;
      if (order) {
        // What is not known here is at least no reason to let anybody in.
        state = order->state() == cluster::v1::DRAINING ? NodeState::kDraining
                                                        : NodeState::kCordoned;
        until = now + std::max<Time>(0, order->until() - wall_now());
      }
      node_.machine().state(now, state, until);
    });
  }

  Loop loop_;
  Directory directory_;
  Orders orders_;
  NodeShell node_;
  ServiceShell service_;
  MessagesService messages_;
  ClusterService cluster_;
  Options options_;
  std::string data_dir_;
};

}  // namespace
}  // namespace imctl::router

using imctl::router::RouterModule;
IMCTL_MODULE(RouterModule)
