#include "figures.h"

#include <algorithm>
#include <cstdio>
#include <ctime>
#include <memory>
#include <set>
#include <string>
#include <tuple>
#include <unordered_map>
#include <utility>
#include <vector>

#include "router/core/node.h"
#include "router/core/random.h"
#include "router/core/service.h"
#include "timeline.h"

namespace imctl::simulation {
namespace {

using namespace router;  // NOLINT: a program of its own

double cpu_seconds() { return static_cast<double>(std::clock()) / CLOCKS_PER_SEC; }

struct Count {
  uint64_t frames = 0;
  uint64_t bytes = 0;
};

// A whole cluster on a network where nothing goes wrong and each way takes a millisecond. The
// Locations module is one table that all services see 5 ms after a report, each report counted once
// for each other service.
class Cluster {
 public:
  Cluster(size_t nodes, size_t services, size_t users)
      : random_(1), users_(users), service_count_(services) {
    for (size_t i = 0; i < services; ++i) {
      ServiceSettings settings;
      settings.service = "s" + std::to_string(i);
      services_.push_back({std::make_unique<ServiceMachine>(settings, random_.next())});
    }
    for (size_t i = 0; i < nodes; ++i) {
      NodeSettings settings;
      settings.node = "n" + std::to_string(i);
      settings.boot = 1;
      settings.clustered = true;
      nodes_.push_back({std::make_unique<NodeMachine>(settings, random_.next())});
    }
    for (size_t i = 0; i < services; ++i) {
      if (services > 1) {
        services_[i].machine->locations(now(), {true, services - 1, true, ""});
      }
      step_service(i);
    }
  }

  // All nodes have all of their clients when they begin, as after an outage of everything.
  // Milliseconds until each session is known.
  Time everybody_comes() {
    for (size_t user = 0; user < users_; ++user) {
      Hello hello;
      hello.session = user + 1;
      hello.user = name(user);
      hello.start = {Start::From::kAfter, 1, 0};
      const size_t node = user % nodes_.size();
      nodes_[node].machine->connect(now(), hello);
      if (user / nodes_.size() % 64 == 0 || user + nodes_.size() >= users_) step_node(node);
    }
    const Time begin = now();
    for (size_t i = 0; i < nodes_.size(); ++i) {
      for (size_t j = 0; j < service_count_; ++j) link(i, j);
    }
    return until_known(begin);
  }

  // A service dies. Milliseconds until each session is known to the others.
  Time service_dies() {
    const Time begin = now();
    services_[0].machine.reset();
    forget_reports(0);
    for (size_t i = 0; i < nodes_.size(); ++i) {
      nodes_[i].machine->link_down(begin, id(i, 0));
      step_node(i);
    }
    return until_known(begin);
  }

  void send(size_t from, const std::vector<size_t>& to) {
    std::vector<Position> positions;
    for (const size_t user : to) positions.push_back({name(user), 1, ++sequences_[user]});
    nodes_[from % nodes_.size()].machine->publish(now(), positions, 0, content_);
    step_node(from % nodes_.size());
  }

  void run(Time by) { timeline_.run_until(timeline_.now() + by); }
  Random& random() { return random_; }
  size_t users() const { return users_; }
  size_t nodes() const { return nodes_.size(); }
  size_t delivered() const {
    size_t sum = 0;
    for (const Node& node : nodes_) sum += node.machine->stats().delivered;
    return sum;
  }
  // Since the last call.
  Count links() { return std::exchange(links_, {}); }
  Count pushes() { return std::exchange(pushes_, {}); }
  Count reports() { return std::exchange(reports_, {}); }
  uint64_t finds() { return std::exchange(finds_, 0); }
  uint64_t reads() { return std::exchange(reads_, 0); }

 private:
  struct Node {
    std::unique_ptr<NodeMachine> machine;
    Time armed = kNever;
  };
  struct Service {
    std::unique_ptr<ServiceMachine> machine;
    Time armed = kNever;
  };
  struct Told {
    size_t service = 0;
    Location location;
  };

  Time now() const { return timeline_.now(); }
  static std::string name(size_t user) { return "user" + std::to_string(user) + "@example.org"; }
  LinkId id(size_t node, size_t service) const { return node * service_count_ + service + 1; }

  void link(size_t node, size_t service) {
    services_[service].machine->link_up(now(), id(node, service));
    nodes_[node].machine->link_up(now(), id(node, service));
    step_node(node);
  }

  void count(const SendFrame& sent) {
    ++links_.frames;
    links_.bytes += sent.size;
    if (!std::holds_alternative<Push>(sent.frame)) return;
    ++pushes_.frames;
    pushes_.bytes += sent.size;
  }

  void step_node(size_t index) {
    Node& node = nodes_[index];
    NodeActions actions;
    node.machine->take(actions);
    for (NodeAction& action : actions) {
      if (auto* sent = std::get_if<SendFrame>(&action)) {
        count(*sent);
        const size_t service = (sent->link - 1) % service_count_;
        auto frame = std::make_shared<SendFrame>(std::move(*sent));
        timeline_.in(1, [this, index, service, frame] {
          if (services_[service].machine == nullptr) return;
          services_[service].machine->frame(now(), frame->link, std::move(frame->frame));
          nodes_[index].machine->link_written(now(), frame->link, frame->size);
          step_service(service);
          step_node(index);
        });
      } else if (const auto* read = std::get_if<StartRead>(&action)) {
        ++reads_;
        timeline_.in(2, [this, index, ticket = read->ticket, after = read->after] {
          Page page;
          page.epoch = 1;
          page.first = 1;
          page.last = after;
          nodes_[index].machine->page(now(), ticket, page);
          step_node(index);
        });
      } else if (const auto* deliver = std::get_if<Deliver>(&action)) {
        nodes_[index].machine->written(now(), deliver->session, deliver->size);
        nodes_[index].machine->ack(now(), deliver->session, deliver->epoch, deliver->sequence);
      }
    }
    const Time due = node.machine->next_deadline();
    if (due >= node.armed) return;
    node.armed = due;
    timeline_.at(due, [this, index, due] {
      Node& node = nodes_[index];
      if (node.armed != due) return;
      node.armed = kNever;
      node.machine->tick(now());
      step_node(index);
    });
  }

  void step_service(size_t index) {
    Service& service = services_[index];
    ServiceActions actions;
    service.machine->take(actions);
    for (ServiceAction& action : actions) {
      if (auto* sent = std::get_if<SendFrame>(&action)) {
        count(*sent);
        const size_t node = (sent->link - 1) / service_count_;
        auto frame = std::make_shared<SendFrame>(std::move(*sent));
        timeline_.in(1, [this, index, node, frame] {
          if (services_[index].machine == nullptr) return;
          nodes_[node].machine->frame(now(), frame->link, std::move(frame->frame));
          services_[index].machine->link_written(now(), frame->link, frame->size);
          step_node(node);
          step_service(index);
        });
      } else if (auto* report = std::get_if<Report>(&action)) {
        auto shared = std::make_shared<Report>(std::move(*report));
        timeline_.in(5, [this, index, shared] { reported(index, *shared); });
      } else if (auto* find = std::get_if<Find>(&action)) {
        ++finds_;
        auto shared = std::make_shared<Find>(std::move(*find));
        timeline_.in(1, [this, index, shared] { asked(index, *shared); });
      }
    }
    const Time due = service.machine->next_deadline();
    if (due >= service.armed) return;
    service.armed = due;
    timeline_.at(due, [this, index, due] {
      Service& service = services_[index];
      if (service.machine == nullptr || service.armed != due) return;
      service.armed = kNever;
      service.machine->tick(now());
      step_service(index);
    });
  }

  void reported(size_t index, const Report& report) {
    if (services_[index].machine == nullptr) return;
    size_t size = 32;
    for (const Location& each : report.removed) {
      size += each.user.size() + each.node.size() + 16;
      auto& told = told_[each.user];
      std::erase_if(told, [&](const Told& one) {
        return one.service == index && one.location.session == each.session;
      });
    }
    for (const Location& each : report.added) {
      size += each.user.size() + each.node.size() + each.device.size() + 24;
      told_[each.user].push_back({index, each});
    }
    reports_.frames += service_count_ - 1;
    reports_.bytes += size * (service_count_ - 1);
    services_[index].machine->reported(now(), report.ticket, {});
    step_service(index);
  }

  void asked(size_t index, const Find& find) {
    if (services_[index].machine == nullptr) return;
    Found found;
    for (const std::string& user : find.users) {
      const auto told = told_.find(user);
      if (told == told_.end()) continue;
      for (const Told& each : told->second) {
        if (each.service != index) found.locations.push_back(each.location);
      }
    }
    services_[index].machine->found(now(), find.ticket, found);
    step_service(index);
  }

  void forget_reports(size_t service) {
    for (auto& [user, told] : told_) {
      std::erase_if(told, [&](const Told& each) { return each.service == service; });
    }
  }

  Time until_known(Time begin) {
    while (timeline_.now() < begin + 600000) {
      run(20);
      uint64_t known = 0;
      uint64_t unreported = 0;
      for (const Service& service : services_) {
        if (service.machine == nullptr) continue;
        const ServiceStats stats = service.machine->stats();
        known += stats.locations;
        unreported += stats.unreported;
      }
      if (known >= users_ && unreported == 0) return timeline_.now() - begin;
    }
    return kNever;
  }

  Timeline timeline_;
  Random random_;
  const size_t users_;
  const size_t service_count_;
  std::vector<Node> nodes_;
  std::vector<Service> services_;
  std::unordered_map<std::string, std::vector<Told>> told_;
  std::unordered_map<size_t, uint64_t> sequences_;
  const Payload content_ = std::make_shared<const std::string>(200, 'x');
  Count links_;
  Count pushes_;  // of them
  Count reports_;
  uint64_t finds_ = 0;
  uint64_t reads_ = 0;
};

struct Case {
  size_t nodes;
  size_t services;
  size_t users;
};

// False: a message did not arrive, or somebody never became known.
bool show(const Case& given) {
  Cluster cluster(given.nodes, given.services, given.users);
  const double started = cpu_seconds();
  const Time known = cluster.everybody_comes();
  const Count joined = cluster.links();
  const Count told = cluster.reports();
  // Homes have been chosen for good, and everybody has looked a second time.
  cluster.run(90000);
  cluster.links();
  cluster.reports();
  cluster.reads();
  cluster.run(30000);
  const Count idle = cluster.links();
  const uint64_t reads = cluster.reads();

  constexpr size_t kMessages = 5000;
  cluster.finds();
  size_t before = cluster.delivered();
  const double busy = cpu_seconds();
  for (size_t i = 0; i < kMessages; ++i) {
    cluster.send(cluster.random().below(given.nodes), {cluster.random().below(given.users)});
    cluster.run(1);
  }
  cluster.run(100);
  const double a_message = (cpu_seconds() - busy) / kMessages * 1e6;
  const Count messages = cluster.pushes();
  const uint64_t finds = cluster.finds();
  bool whole = cluster.delivered() - before == kMessages;

  std::set<size_t> chosen;
  while (chosen.size() < std::min<size_t>(1000, given.users)) {
    chosen.insert(cluster.random().below(given.users));
  }
  before = cluster.delivered();
  cluster.send(0, {chosen.begin(), chosen.end()});
  cluster.run(50);
  const Count group = cluster.pushes();
  whole = whole && cluster.delivered() - before == chosen.size();

  std::printf("%6zu %4zu %8zu | %7lld %8.1f %8.1f | %8.1f %8.1f | %6.2f %6.0f %6.2f %7.1f | %6llu",
              given.nodes, given.services, given.users, static_cast<long long>(known),
              static_cast<double>(joined.frames) / static_cast<double>(given.nodes),
              static_cast<double>(joined.bytes + told.bytes) / static_cast<double>(given.users),
              static_cast<double>(idle.frames) / 30 / static_cast<double>(given.nodes),
              static_cast<double>(reads) / 30 / static_cast<double>(given.nodes),
              static_cast<double>(messages.frames) / kMessages,
              static_cast<double>(messages.bytes) / kMessages,
              static_cast<double>(finds) / kMessages, a_message,
              static_cast<unsigned long long>(group.frames));
  if (given.services > 1) {
    cluster.links();
    cluster.reports();
    const Time again = cluster.service_dies();
    const Count moved = cluster.links();
    whole = whole && again != kNever;
    std::printf(" | %7lld %8.1f %8.1f", static_cast<long long>(again),
                static_cast<double>(moved.frames) / static_cast<double>(given.nodes),
                static_cast<double>(moved.bytes + cluster.reports().bytes) /
                    static_cast<double>(given.users));
  } else {
    std::printf(" | %7s %8s %8s", "-", "-", "-");
  }
  std::printf(" | %6.1f%s\n", cpu_seconds() - started, whole ? "" : " NOT ALL ARRIVED");
  std::fflush(stdout);
  return whole && known != kNever;
}

}  // namespace

int figures() {
  std::printf(
      "                     | everybody comes           | idle              | one-to-one, 200 "
      "bytes         | "
      "to     | a service dies            |\n"
      "                     | ms until  frames   bytes  | a node, a second  | a message            "
      "         | "
      "1,000: | ms until  frames   bytes  | CPU\n"
      " nodes serv    users |   known   a node   a user | frames     reads | frames bytes  finds  "
      "CPU us | "
      "frames |   known   a node   a user | s\n");
  bool whole = true;
  for (const Case& each : std::vector<Case>{{2, 1, 1000},
                                            {10, 1, 10000},
                                            {10, 2, 10000},
                                            {10, 4, 10000},
                                            {10, 8, 10000},
                                            {100, 2, 10000},
                                            {100, 2, 100000},
                                            {1000, 2, 100000},
                                            {1000, 8, 100000},
                                            {3000, 3, 100000},
                                            {100, 2, 1000000},
                                            {1000, 4, 1000000}}) {
    whole = show(each) && whole;
  }
  return whole ? 0 : 1;
}

}  // namespace imctl::simulation
