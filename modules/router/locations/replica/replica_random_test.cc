// Seeded runs over a broker that loses, doubles and mixes up messages, with instances and brokers
// that die, stop and come back. Always: nothing is shown beyond its lease after it was taken away.
// In the end: everybody shows exactly what there is.
//
// IMCTL_REPLICA_SEEDS: how many (40). IMCTL_REPLICA_SEED: only this one.
#include <gtest/gtest.h>

#include <cstdlib>
#include <optional>

#include "replica/test_net.h"

namespace imctl::locations {
namespace {

constexpr Time kLease = 4000;
// What comes on top of a lease: a broker that stalls for two beats is not noticed, its delay, the
// steps of the clock.
constexpr Time kSlack = 3000;
constexpr uint64_t kUsers = 40;

// Services that have sessions come and go, and what was when.
class World {
 public:
  explicit World(uint64_t seed) : net_(seed), random_(seed * 31 + 1) {
    for (const char* name : {"a", "b", "c"}) start(name);
  }

  void run() {
    net_.faults = {0.2, 0.1, 300};
    for (int step = 0; step < 400; ++step) {
      act();
      net_.run(100, [&] { each(); });
      if (::testing::Test::HasFailure()) return;
    }
    heal();
    net_.run(25000, [&] { each(); });
    settled();
  }

 private:
  struct Service {
    std::unique_ptr<Reporter> reporter;
    uint64_t boot = 0;
    std::map<uint64_t, Location> sessions;
    bool paused = false;
    bool report_all = true;
  };

  uint64_t pick(uint64_t below) {
    return std::uniform_int_distribution<uint64_t>(0, below - 1)(random_);
  }

  void start(const std::string& name) {
    net_.start(name);
    Service& service = services_[name];
    service.boot = ++boots_;
    service.reporter = std::make_unique<Reporter>(&net_, name, "s" + name, service.boot, kLease);
    service.report_all = true;
    service.paused = false;
    // Its nodes' sessions are there again; some ended meanwhile.
    for (auto it = service.sessions.begin(); it != service.sessions.end();) {
      const auto session = it++;
      if (pick(3) == 0) take_away(&service, session->first);
    }
  }

  static std::string text(const Location& location) {
    return location.user + " " + location.key.node + "/" + std::to_string(location.key.boot) + "/" +
           std::to_string(location.key.session);
  }

  void add(const std::string& name, Service* service) {
    const uint64_t id = ++sessions_;
    const Location made =
        place("u" + std::to_string(pick(kUsers)), "n" + name + std::to_string(pick(2)), 1, id);
    service->sessions[id] = made;
    if (!service->report_all) service->reporter->add(made);
  }
  void take_away(Service* service, uint64_t id) {
    const Location location = service->sessions.at(id);
    ended_[text(location)] = net_.now;
    service->sessions.erase(id);
    if (!service->report_all) service->reporter->remove(location.key);
  }

  void act() {
    for (auto& [name, service] : services_) {
      if (!net_.runs(name) || service.paused) continue;
      for (uint64_t i = pick(4); i > 0; --i) add(name, &service);
      for (uint64_t i = pick(4); i > 0 && !service.sessions.empty(); --i) {
        auto it = service.sessions.begin();
        std::advance(it, pick(service.sessions.size()));
        take_away(&service, it->first);
      }
      flush(&service);
    }
    const std::string name(1, "abc"[pick(3)]);
    Service& service = services_.at(name);
    switch (pick(40)) {
      case 0:
        if (!net_.runs(name)) break;
        net_.kill(name);
        for (const auto& [id, location] : service.sessions) ended_[text(location)] = net_.now;
        break;
      case 1:
        if (net_.runs(name)) {
          net_.pause(name, service.paused = !service.paused);
        } else {
          start(name);
          for (const auto& [id, location] : service.sessions) ended_.erase(text(location));
        }
        break;
      case 2: net_.broker(broker_ = !broker_); break;
      case 3: net_.stop_broker(stopped_ = !stopped_); break;
      case 4:
        if (!net_.runs(name) || service.paused) break;
        while (!service.sessions.empty()) take_away(&service, service.sessions.begin()->first);
        for (const char* node : {"0", "1"}) {
          if (!service.report_all) service.reporter->gone({"n" + name + node, 1});
        }
        flush(&service);
        break;
      default: break;
    }
  }

  void flush(Service* service) {
    if (!service->report_all && service->reporter->flush() == Verdict::kTaken) return;
    std::vector<Location> all;
    for (const auto& [id, location] : service->sessions) all.push_back(location);
    service->report_all = service->reporter->all(all, 1 + pick(3)) != Verdict::kTaken;
    EXPECT_FALSE(service->report_all);
  }

  void each() {
    if (net_.now % 200 != 0) return;
    for (const auto& [name, unused] : services_) {
      if (!net_.runs(name)) continue;
      for (uint64_t u = 0; u < kUsers; ++u) {
        const std::string user = "u" + std::to_string(u);
        for (const std::string& place : net_.find(name, user)) {
          const auto ended = ended_.find(user + " " + place);
          if (ended == ended_.end()) continue;
          EXPECT_LE(net_.now - ended->second, kLease + kSlack)
              << name << " shows " << ended->first << " at " << net_.now;
        }
      }
    }
  }

  void heal() {
    net_.faults = {0.05, 0.05, 50};
    if (stopped_) net_.stop_broker(false);
    if (!broker_) net_.broker(true);
    for (auto& [name, service] : services_) {
      if (!net_.runs(name)) {
        start(name);
        for (const auto& [id, location] : service.sessions) ended_.erase(text(location));
      }
      net_.pause(name, service.paused = false);
    }
    for (int step = 0; step < 150; ++step) {
      for (auto& [name, service] : services_) flush(&service);
      net_.run(100, [&] { each(); });
    }
    net_.faults = {};
    for (int step = 0; step < 100; ++step) {
      for (auto& [name, service] : services_) flush(&service);
      net_.run(100, [&] { each(); });
    }
    compare();
  }

  void compare() {
    for (const auto& [name, unused] : services_) {
      EXPECT_EQ(net_.at(name).doubt(net_.now, ""), "") << name;
      EXPECT_EQ(net_.at(name).peers(net_.now, "s" + name), 2);
      for (uint64_t u = 0; u < kUsers; ++u) {
        const std::string user = "u" + std::to_string(u);
        std::set<std::string> there;
        for (const auto& [other, service] : services_) {
          for (const auto& [id, location] : service.sessions) {
            if (location.user == user) there.insert(text(location).substr(user.size() + 1));
          }
        }
        EXPECT_EQ(net_.find(name, user), there) << name << " of " << user;
      }
    }
  }

  // Nobody reports any more.
  void settled() {
    for (const auto& [name, unused] : services_) {
      EXPECT_EQ(net_.at(name).peers(net_.now, ""), 0);
      for (uint64_t u = 0; u < kUsers; ++u) {
        EXPECT_TRUE(net_.find(name, "u" + std::to_string(u)).empty());
      }
    }
  }

  Net net_;
  std::mt19937_64 random_;
  std::map<std::string, Service> services_;
  std::map<std::string, Time> ended_;
  uint64_t boots_ = 0;
  uint64_t sessions_ = 0;
  bool broker_ = true;
  bool stopped_ = false;
};

uint64_t number(const char* name, uint64_t otherwise) {
  const char* text = std::getenv(name);
  return text == nullptr ? otherwise : std::strtoull(text, nullptr, 10);
}

TEST(ReplicaRandom, ConvergesAndShowsNothingThatIsGone) {
  const uint64_t only = number("IMCTL_REPLICA_SEED", 0);
  const uint64_t last = only != 0 ? only : number("IMCTL_REPLICA_SEEDS", 40);
  for (uint64_t seed = only != 0 ? only : 1; seed <= last; ++seed) {
    World(seed).run();
    if (HasFailure()) {
      FAIL() << "IMCTL_REPLICA_SEED=" << seed;
    }
  }
}

}  // namespace
}  // namespace imctl::locations
