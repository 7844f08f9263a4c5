// Directory: a model of the Locations module of several services. Each tells the others its own
// sessions as numbered changes over a broker that loses them; a digest each second shows a gap,
// which is closed with a snapshot. A replica is not sure while a gap is open, while a peer that it
// knows is silent, and until it has listened for a while. Memory for one service is the same with
// nobody to tell.
#ifndef IMCTL_SIMULATION_DIRECTORY_H
#define IMCTL_SIMULATION_DIRECTORY_H

#include <cstdint>
#include <functional>
#include <map>
#include <string>
#include <tuple>
#include <unordered_map>
#include <vector>

#include "router/core/random.h"
#include "router/core/service.h"
#include "timeline.h"

namespace imctl::simulation {

using router::Location;
using router::Random;

class Directory {
 public:
  Directory(Timeline& timeline, Random& random) : timeline_(timeline), random_(random) {}

  // A service's part of it. `life`: larger after each start.
  void start(const std::string& service, uint64_t life);
  void stop(const std::string& service);
  // Stands still, and goes on.
  void pause(const std::string& service, bool paused);

  void report(const std::string& service, const router::Report& report);
  router::Found find(const std::string& service, const std::vector<std::string>& users);
  router::LocationsStatus status(const std::string& service);
  // Each second.
  void tick(const std::string& service);

  bool away = false;    // the broker
  uint32_t losing = 0;  // of 1000 messages
  Time slowest = 20;
  uint64_t messages = 0;  // since the start
  uint64_t bytes = 0;

 private:
  using Key = std::tuple<std::string, uint64_t, uint64_t>;  // node, boot, session
  struct Change {
    bool add = false;
    Location location;
  };
  struct Replica {
    uint64_t life = 0;
    uint64_t version = 0;  // that it has
    uint64_t told = 0;     // the newest one that it has heard of
    Time heard_at = 0;
    bool whole = false;  // it has had a snapshot of this life
    bool asked = false;
    std::map<Key, Location> locations;
  };
  struct Part {
    uint64_t life = 0;
    bool paused = false;
    Time started_at = 0;
    uint64_t version = 0;
    std::map<Key, Location> own;
    std::map<Key, Location> snapshot;  // that is being reported
    bool in_snapshot = false;
    std::map<std::string, Replica> replicas;  // of the others
    // Of all replicas, each for itself: while a node changes its home two services tell its
    // sessions, and what one of them takes back the other one still has.
    std::unordered_map<std::string, std::map<std::pair<std::string, Key>, Location>> by_user;
  };

  static Key key(const Location& location) {
    return {location.node, location.boot, location.session};
  }
  void broadcast(const std::string& from, size_t size,
                 const std::function<void(const std::string&, Part&)>& receive);
  void apply(Part& part, const std::string& peer, Replica& replica, const Change& change);
  void receive_changes(const std::string& to, const std::string& from, uint64_t life,
                       uint64_t version, const std::vector<Change>& changes);
  void receive_digest(const std::string& to, const std::string& from, uint64_t life,
                      uint64_t version);
  void ask(const std::string& to, const std::string& from);
  void forget(Part& part, const std::string& peer);
  void publish(const std::string& service, Part& part, std::vector<Change> changes);

  Timeline& timeline_;
  Random& random_;
  std::map<std::string, Part> parts_;
};

}  // namespace imctl::simulation

#endif  // IMCTL_SIMULATION_DIRECTORY_H
