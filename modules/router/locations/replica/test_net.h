// Instances of Replica with a broker between them that loses, doubles, delays and holds up
// messages.
#ifndef IMCTL_LOCATIONS_TEST_NET_H
#define IMCTL_LOCATIONS_TEST_NET_H

#include <functional>
#include <map>
#include <memory>
#include <random>
#include <set>
#include <string>
#include <vector>

#include "replica.h"

namespace imctl::locations {

struct Faults {
  double loss = 0;
  double twice = 0;
  Time delay = 0;  // each message takes 0 to so long
};

class Net {
 public:
  explicit Net(uint64_t seed) : random_(seed), seed_(seed) {}

  Replica& start(const std::string& name) {
    Replica::Options options;
    options.instance = ++instances_;
    options.incarnation = static_cast<uint64_t>(now) + 1;
    options.seed = seed_ + instances_;
    Node& node = nodes_[name];
    node.instance = options.instance;
    node.paused = false;
    node.held.clear();
    node.replica = std::make_unique<Replica>(options);
    Replica::Output out;
    node.replica->set_connected(now, true, &out);
    publish(out);
    return *node.replica;
  }
  void kill(const std::string& name) { nodes_.erase(name); }
  bool runs(const std::string& name) const { return nodes_.contains(name); }
  Replica& at(const std::string& name) { return *nodes_.at(name).replica; }
  void pause(const std::string& name, bool paused) { nodes_.at(name).paused = paused; }

  // The broker ends with all that it has, and comes back.
  void broker(bool up) {
    broker_up_ = up;
    queue_.clear();
    held_.clear();
    for (auto& [name, node] : nodes_) {
      Replica::Output out;
      node.replica->set_connected(now, up, &out);
      publish(out);
    }
  }
  // It stops where it is, and goes on later with what came meanwhile.
  void stop_broker(bool stopped) {
    broker_stopped_ = stopped;
    if (!stopped) publish(std::exchange(held_, {}));
  }

  Verdict report(const std::string& name, const Report& report) {
    Replica::Output out;
    const Verdict verdict = at(name).report(now, report, &out);
    publish(out);
    return verdict;
  }

  // Lets time pass in steps of 10 ms; `each` is called in each.
  void run(Time time, const std::function<void()>& each = nullptr) {
    constexpr Time kStep = 10;
    constexpr Time kTick = 100;
    for (const Time end = now + time; now < end;) {
      now += kStep;
      deliver();
      if (now % kTick == 0) {
        for (auto& [name, node] : nodes_) {
          if (node.paused) continue;
          Replica::Output out;
          node.replica->tick(now, &out);
          publish(out);
        }
      }
      if (each) each();
    }
  }

  // Whom `name` finds for a user: "node/boot/session" each.
  std::set<std::string> find(const std::string& name, const std::string& user,
                             const std::string& except = "") {
    std::set<std::string> found;
    at(name).table().find(now, user, except, [&](const Table::View& view) {
      found.insert(view.node + "/" + std::to_string(view.boot) + "/" +
                   std::to_string(view.session));
    });
    return found;
  }

  Faults faults;
  Time now = 1000;
  size_t sent = 0;

 private:
  struct Node {
    uint64_t instance = 0;
    bool paused = false;
    std::unique_ptr<Replica> replica;
    std::vector<Message> held;  // while it is paused
  };
  struct Flight {
    uint64_t to;
    std::shared_ptr<const Message> message;
  };

  bool chance(double p) { return std::uniform_real_distribution<double>(0, 1)(random_) < p; }

  void publish(const Replica::Output& out) {
    for (const Message& message : out) {
      if (!broker_up_) continue;
      if (broker_stopped_) {
        held_.push_back(message);
        continue;
      }
      ++sent;
      auto shared = std::make_shared<const Message>(message);
      for (const auto& [name, node] : nodes_) {
        const int times = chance(faults.loss) ? 0 : chance(faults.twice) ? 2 : 1;
        for (int i = 0; i < times; ++i) {
          const Time at = now + std::uniform_int_distribution<Time>(0, faults.delay)(random_);
          queue_.emplace(at, Flight{node.instance, shared});
        }
      }
    }
  }

  void deliver() {
    for (auto& [name, node] : nodes_) {
      if (node.paused) continue;
      for (const Message& message : std::exchange(node.held, {})) give(&node, message);
    }
    while (!queue_.empty() && queue_.begin()->first <= now) {
      const Flight flight = queue_.begin()->second;
      queue_.erase(queue_.begin());
      for (auto& [name, node] : nodes_) {
        if (node.instance != flight.to) continue;
        if (node.paused) {
          node.held.push_back(*flight.message);
        } else {
          give(&node, *flight.message);
        }
      }
    }
  }

  void give(Node* node, const Message& message) {
    Replica::Output out;
    node->replica->receive(now, message, &out);
    publish(out);
  }

  std::mt19937_64 random_;
  const uint64_t seed_;
  uint64_t instances_ = 0;
  std::map<std::string, Node> nodes_;
  std::multimap<Time, Flight> queue_;
  bool broker_up_ = true;
  bool broker_stopped_ = false;
  Replica::Output held_;
};

// A service that reports what it is told to, as the contract says.
class Reporter {
 public:
  Reporter(Net* net, std::string at, std::string service, uint64_t boot, Time lease = 15000)
      : net_(net), at_(std::move(at)), service_(std::move(service)), boot_(boot), lease_(lease) {}

  void add(const Location& location) { change_.add.push_back(location); }
  void remove(const Key& key) {
    // What is removed comes before what is added.
    std::erase_if(change_.add, [&](const Location& location) { return location.key == key; });
    change_.remove.push_back(key);
  }
  void gone(const NodeBoot& node) { change_.gone.push_back(node); }

  Verdict flush() {
    Report report = next();
    report.change = std::exchange(change_, {});
    return net_->report(at_, report);
  }
  Verdict all(const std::vector<Location>& locations, size_t parts = 1) {
    change_ = {};
    Verdict verdict = Verdict::kTaken;
    for (size_t i = 0; i < parts; ++i) {
      Report report = next();
      report.begin = i == 0;
      report.end = i + 1 == parts;
      for (size_t j = i; j < locations.size(); j += parts) {
        report.change.add.push_back(locations[j]);
      }
      verdict = net_->report(at_, report);
    }
    return verdict;
  }
  Verdict leave() {
    Report report = next();
    report.leave = true;
    return net_->report(at_, report);
  }
  uint64_t number = 0;

 private:
  Report next() {
    Report report;
    report.service = service_;
    report.boot = boot_;
    report.number = ++number;
    report.lease = lease_;
    return report;
  }

  Net* const net_;
  const std::string at_;
  const std::string service_;
  const uint64_t boot_;
  const Time lease_;
  Change change_;
};

inline Location place(const std::string& user, const std::string& node, uint64_t boot,
                      uint64_t session) {
  return {user, "phone", {node, boot, session}, 1'700'000'000'000};
}

}  // namespace imctl::locations

#endif  // IMCTL_LOCATIONS_TEST_NET_H
