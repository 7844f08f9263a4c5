// ServiceMachine: what a Cluster Management Service decides, as events in and actions out. See
// types.h for the rules, node.h for how a machine is used: events, take(), next_deadline(), tick().
//
//   event                        what the caller tells             may lead to
//   link_up(link)                a node opened a stream
//   link_down(link)              it ended, whoever ended it        SendFrame
//   link_written(link, size)     the transport took so much        SendFrame
//   frame(link, frame)           the node said this                SendFrame, DropLink, Find
//   locations(status)            what the Locations module says    SendFrame
//   found(ticket, ...)           answers Find                      SendFrame, Find
//   reported(ticket, ...)        answers Report
//   close_session, close_user    from outside                      SendFrame
//   leave()                      the service stops                 DropLink
//   tick()                       next_deadline() has come          SendFrame, DropLink, Report
//
// The way of a push: for each target, the sessions that nodes registered here, and, if there are
// other services, those that the Locations module finds; then one frame for each node that has a
// session of any target, but for the one that it came from. A target without a session is an
// offline message: nothing happens. If the Locations module cannot be believed just now, or a node
// cannot be reached from here, the source is told (Unsure) and asks the other services to tell
// their own.
//
// A location lives as long as its node's lease here: renewed by any frame of the node, over after
// `lease` of silence, or `grace` after its link ended without a goodbye. When the machine itself
// was not run for a while (a stopped process), leases are prolonged by that: the nodes' frames wait
// to be read.
#ifndef IMCTL_ROUTER_CORE_SERVICE_H
#define IMCTL_ROUTER_CORE_SERVICE_H

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <variant>
#include <vector>

#include "frames.h"
#include "node.h"
#include "types.h"

namespace imctl::router {

struct ServiceSettings {
  std::string service;  // its name; different for each
  uint64_t boot = 0;
  Time lease = 15000;
  Time grace = 5000;  // at most the lease
  // Bytes in the queue to a node: beyond, pushes to it are dropped and it is told to resync after.
  size_t max_link_queue = 8 << 20;
  // Bytes of pushes that wait for a Find: beyond, they go to this service's own nodes, and the
  // source is told.
  size_t max_waiting = 16 << 20;
  // Users in one Find, locations in one Report.
  size_t find_batch = 1000;
  size_t report_batch = 1000;
  Time report_interval = 100;  // changes are collected this long
  Time resync_pause = 5000;    // between two that all nodes are told
  Time retry = 1000;           // after an error of the Locations module
};

// ---- answers of imctl.cluster.v1.Locations

struct LocationsStatus {
  // Whether sessions are reported at all; not for a table that only this service would read.
  bool shared = false;
  uint64_t peers = 0;  // other services; none: nothing is ever asked
  bool sure = true;    // what it finds is what there is, but for what is on the way
  std::string why;     // it is not sure
};

struct Found {
  Outcome outcome;
  bool sure = true;
  std::vector<Location>
      locations;  // of all users that were asked for; this service's own may be among them
};

// ---- actions (SendFrame and DropLink are the node's)

// Locations/Find; `found` answers. One at a time.
struct Find {
  Ticket ticket = 0;
  std::vector<std::string> users;
};

// Locations/Report; `reported` answers. One at a time; after an error all is reported anew. Without
// `first` and `last` a change; a snapshot as in Sessions. One without any change renews the lease.
struct Report {
  Ticket ticket = 0;
  bool first = false;
  bool last = false;
  Time lease = 0;  // all of it is over if nothing is reported for so long
  std::vector<Location> added;
  std::vector<Location> removed;  // only the keys and users count
};

using ServiceAction = std::variant<SendFrame, DropLink, Find, Report>;
using ServiceActions = std::vector<ServiceAction>;

// ---- what people see

struct NodeInfo {
  std::string node;
  uint64_t boot = 0;
  std::string address;
  std::string version;
  NodeState state = NodeState::kActive;
  bool linked = false;  // false: its link ended, and its lease runs
  Time lease_left = 0;
  uint64_t registered = 0;  // sessions that are registered with this service
  uint64_t sessions = 0;    // that it has, as it says
};

struct ServiceStats {
  uint64_t nodes = 0;
  uint64_t locations = 0;
  uint64_t users = 0;
  uint64_t peers = 0;
  bool shared = false;
  bool sure = true;
  std::string why;
  uint64_t waiting = 0;     // bytes of pushes that wait for a Find
  uint64_t unreported = 0;  // changes
  // Since the start.
  uint64_t pushes_in = 0;
  uint64_t pushes_out = 0;
  uint64_t pushes_dropped = 0;
  uint64_t offline = 0;  // targets without a location
  uint64_t unsure = 0;   // targets
  uint64_t finds = 0;
  uint64_t nacks = 0;  // locations that were dropped because a node said so
  uint64_t leases_over = 0;
  uint64_t refused = 0;  // joins
};

// Where a message for somebody would go now, as far as this service knows.
struct Route {
  struct Hop {
    Location location;
    bool linked =
        false;  // a frame would go there; otherwise the source is told that this is unsure
    Time lease_left = 0;
  };
  std::vector<Hop> hops;     // sessions that nodes registered here
  bool asks_others = false;  // and the Locations module is asked
  bool sure = true;          // and is believed
  std::string why;           // in words: all of the above
};

class ServiceMachine {
 public:
  ServiceMachine(ServiceSettings settings, uint64_t seed);
  ~ServiceMachine();
  ServiceMachine(const ServiceMachine&) = delete;
  ServiceMachine& operator=(const ServiceMachine&) = delete;

  // ---- nodes. Whose link it is, the caller has made sure of; which node it is, Join says: nodes are
  // believed in all that they say.
  void link_up(Time now, LinkId link);
  void link_down(Time now, LinkId link);
  void link_written(Time now, LinkId link, size_t size);
  void frame(Time now, LinkId link, Frame frame);

  // ---- the Locations module.
  void locations(Time now, LocationsStatus status);
  void found(Time now, Ticket ticket, const Found& found);
  void reported(Time now, Ticket ticket, const Outcome& outcome);

  // ---- from outside.
  // False: there is no such session here, or its node cannot be reached.
  bool close_session(Time now, const std::string& node, uint64_t boot, SessionId session, Code code,
                     std::string words);
  // All sessions of user@domain that are registered here; how many.
  size_t close_user(Time now, const std::string& user, Code code, const std::string& words);
  void leave(Time now);

  void tick(Time now);
  Time next_deadline() const;

  // Swaps the actions since the last take into `into`, which is cleared first.
  void take(ServiceActions& into);

  // ---- for people.
  ServiceStats stats() const;
  std::vector<NodeInfo> nodes(Time now) const;  // by name
  // Sessions that are registered here, by (node, session), after that key, `limit` at most.
  std::vector<Location> sessions(const std::string& after_node, SessionId after_session,
                                 size_t limit) const;
  Route explain(Time now, const std::string& user) const;

 private:
  struct Parts;
  std::unique_ptr<Parts> parts_;
};

}  // namespace imctl::router

#endif  // IMCTL_ROUTER_CORE_SERVICE_H
