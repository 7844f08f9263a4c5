#include <algorithm>
#include <future>
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
    // Calls of this module's own come in when this has returned: until then they are refused, and
    // made again.
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

  void report(State& state) override {
    state.add("users_known", directory_.known());
    state.add("changes_of_users", directory_.hears() ? "heard" : "not heard");
    state.add("orders", orders_.hears() ? "heard" : "not heard");
    // The machines are the loop's; it is not waited for longer than it takes to be of use.
    auto told = std::make_shared<std::promise<std::vector<std::pair<std::string, std::string>>>>();
    auto items = told->get_future();
    loop_.post([this, told](Time) { told->set_value(items_of_machines()); });
    constexpr std::chrono::seconds kPatience{2};
    if (items.wait_for(kPatience) != std::future_status::ready) {
      return state.add("loop", "does not answer");
    }
    for (const auto& [name, value] : items.get()) state.add(name, value);
  }

 private:
  std::vector<std::pair<std::string, std::string>> items_of_machines() {
    std::vector<std::pair<std::string, std::string>> items;
    auto add = [&](const std::string& name, const auto& value) {
      if constexpr (std::is_convertible_v<decltype(value), std::string>) {
        items.emplace_back(name, value);
      } else {
        items.emplace_back(name, std::to_string(value));
      }
    };
    if (node_.is_running()) {
      const NodeStats node = node_.machine().stats();
      add("node.sessions", node.sessions);
      add("node.users", node.users);
      add("node.links", node.links);
      add("node.home", node.home);
      add("node.other_nodes", node.others);
      add("node.unanswered_bytes", node.unanswered);
      add("node.appends", node.appends);
      add("node.reads", node.reads);
      add("node.reads_waiting", node.reads_waiting);
      add("node.ahead_bytes", node.ahead);
      add("node.cursors_moving", node.cursors_moving);
      add("node.messages_accepted", node.accepted);
      add("node.messages_rejected", node.rejected);
      add("node.messages_delivered", node.delivered);
      add("node.messages_delivered_live", node.delivered_live);
      add("node.pushes_out", node.pushes_out);
      add("node.pushes_in", node.pushes_in);
      add("node.pushes_dropped", node.pushes_dropped);
      add("node.sessions_cut", node.cut);
      add("node.resyncs", node.resyncs);
      add("node.superseded", node.superseded ? "yes" : "no");
      for (const NodeShell::LinkInfo& link : node_.links()) {
        add("link " + (link.address.empty() ? "here" : link.address),
            link.service.empty() ? "not joined: " + link.problem : "joined with " + link.service);
      }
    }
    if (service_.is_running()) {
      const ServiceStats service = service_.machine().stats();
      add("service.nodes", service.nodes);
      add("service.sessions", service.locations);
      add("service.other_services", service.peers);
      add("service.sure", service.sure ? "yes" : "no: " + service.why);
      add("service.waiting_bytes", service.waiting);
      add("service.pushes_in", service.pushes_in);
      add("service.pushes_out", service.pushes_out);
      add("service.pushes_dropped", service.pushes_dropped);
      add("service.offline", service.offline);
      add("service.nacks", service.nacks);
      add("service.leases_over", service.leases_over);
    }
    return items;
  }

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
        state =
            order->state() == cluster::v1::DRAINING ? NodeState::kDraining : NodeState::kCordoned;
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
