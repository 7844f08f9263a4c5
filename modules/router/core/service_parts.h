// What ServiceMachine is made of. Only for its own files: service.cc (nodes, leases), routes.cc
// (messages), service_views.cc (for people).
#ifndef IMCTL_ROUTER_CORE_SERVICE_PARTS_H
#define IMCTL_ROUTER_CORE_SERVICE_PARTS_H

#include <cstddef>
#include <cstdint>
#include <deque>
#include <string>
#include <unordered_map>
#include <utility>
#include <vector>

#include "random.h"
#include "reporter.h"
#include "service.h"
#include "table.h"
#include "timers.h"

namespace imctl::router {

struct ServiceMachine::Parts {
  Parts(ServiceSettings given, uint64_t seed);

  struct Link {
    LinkId id = 0;
    std::string node;  // empty: it has not joined
    Time sent_at = 0;
    Time opened_at = 0;
    size_t queued = 0;
    bool lossy = false;  // pushes were dropped, and it is not told yet
  };
  // Users whose locations were asked for, by what was found.
  using Places = std::unordered_map<std::string, std::vector<const Location*>>;

  // ---- service.cc: nodes and leases.
  Link* find(LinkId id) {
    const auto found = links.find(id);
    return found == links.end() ? nullptr : &found->second;
  }
  // Null: it is not linked.
  Link* link_of(const NodeRecord& node) { return node.link == 0 ? nullptr : find(node.link); }
  void up(Time now, LinkId id);
  void down(Time now, LinkId id);
  void written(Time now, LinkId id, size_t size);
  void frame(Time now, LinkId id, Frame frame);
  void send(Time now, Link& link, Frame frame);
  void drop(Time now, LinkId id, Code code, std::string words);
  void joined(Time now, Link& link, const Join& join);
  void nacked(NodeRecord& node, const Nack& nack);
  void remove(Time now, NodeRecord& node);
  Time lease_end(const NodeRecord& node) const;
  void watch(const NodeRecord& node);
  void tick(Time now);
  void check(Time now, NodeRecord& node);
  void check_silent(Time now, Link& link);
  void stood_still(Time now, Time by);
  void locations(Time now, LocationsStatus to);
  // `node`: which said so, and need not look itself.
  void lost(Time now, const std::string& node);
  void tell_lost(Time now);
  // A node came or went; `before`: how many there were.
  void members_changed(Time now, size_t before);

  // ---- routes.cc: messages.
  void pushed(Time now, Push push);
  void ask();
  void found(Time now, Ticket ticket, const Found& found);
  // One frame for each node that has a session of a target. `places`: null, nobody else was asked;
  // `sure`: there is nothing more to know.
  void route(Time now, const Push& push, const Places* places, bool sure);
  void deliver(Time now, NodeRecord& node, Push push);
  void unsure(Time now, const std::string& source, const Push& push, std::vector<Target> targets);

  // ---- service_views.cc.
  ServiceStats view() const;
  Route explain(Time now, const std::string& user) const;

  ServiceSettings settings;
  Random random;
  ServiceActions out;
  ServiceStats stats;
  Reporter reporter;
  Table table;
  LocationsStatus status;
  bool left = false;

  std::unordered_map<LinkId, Link> links;
  Timers node_timers;                                 // by number of the record
  std::unordered_map<uint64_t, std::string> numbers;  // which node it is
  Timers link_timers;                                 // by link
  // The latest start of each node, longer than its lease: an older one must not come back after it.
  std::unordered_map<std::string, uint64_t> boots;

  // Pushes that wait for a Find; the first `asked` of them for the one that is under way.
  std::deque<Push> waiting;
  size_t asked = 0;
  Ticket asked_with = 0;
  Ticket tickets = 0;
  uint64_t splits = 0;

  Time lost_at = kNever;  // when nodes are told to look
  Time lost_free_at = 0;  // not before this
  std::string lost_by;    // but for this node, if only one said so
};

}  // namespace imctl::router

#endif  // IMCTL_ROUTER_CORE_SERVICE_PARTS_H
