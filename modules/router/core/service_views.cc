// What a service shows to people.
#include <algorithm>

#include "service_parts.h"

namespace imctl::router {

ServiceStats ServiceMachine::Parts::view() const {
  ServiceStats view = stats;
  view.nodes = table.nodes().size();
  view.locations = table.locations();
  view.users = table.users();
  view.peers = status.peers;
  view.shared = status.shared;
  view.sure = status.sure;
  view.why = status.why;
  view.unreported = reporter.unreported();
  return view;
}

Route ServiceMachine::Parts::explain(Time now, const std::string& user) const {
  Route route;
  if (const UserRecord* const record = table.user(user)) {
    for (const UserRecord::Place& place : record->places) {
      const NodeRecord& node = *place.node;
      const Registration& registration = node.sessions.at(place.session);
      route.hops.push_back(
          {{node.name, node.boot, place.session, user, registration.device, registration.since},
           node.link != 0,
           std::max<Time>(lease_end(node) - now, 0)});
    }
  }
  std::sort(route.hops.begin(), route.hops.end(), [](const auto& a, const auto& b) {
    return a.location.node != b.location.node ? a.location.node < b.location.node
                                              : a.location.session < b.location.session;
  });
  route.asks_others = status.sure && status.peers > 0;
  route.sure = status.sure;
  if (route.hops.empty()) {
    route.why = "no session of " + user + " is registered with this service";
  } else {
    route.why = std::to_string(route.hops.size()) +
                (route.hops.size() == 1 ? " session" : " sessions") +
                " registered with this service";
    const auto cut = std::count_if(route.hops.begin(), route.hops.end(),
                                   [](const Route::Hop& hop) { return !hop.linked; });
    if (cut > 0) {
      route.why += ", " + std::to_string(cut) +
                   " of them on nodes whose link ended: other services are asked to tell them";
    }
  }
  if (!route.sure) {
    route.why += "; what is known of other services' sessions is not believed now (" + status.why +
                 "), so the node that has the message asks each of them";
  } else if (!route.asks_others) {
    route.why += "; there is no other service to ask";
  } else {
    route.why += "; " + std::to_string(status.peers) + " other services are asked";
  }
  return route;
}

ServiceStats ServiceMachine::stats() const { return parts_->view(); }

std::vector<NodeInfo> ServiceMachine::nodes(Time now) const {
  std::vector<NodeInfo> nodes;
  for (const auto& [name, node] : parts_->table.nodes()) {
    nodes.push_back({name, node.boot, node.address, node.version, node.state, node.link != 0,
                     std::max<Time>(parts_->lease_end(node) - now, 0), node.sessions.size(),
                     std::max<uint64_t>(node.told_sessions, node.sessions.size())});
  }
  return nodes;
}

std::vector<Location> ServiceMachine::sessions(const std::string& after_node,
                                               SessionId after_session, size_t limit) const {
  std::vector<Location> page;
  const auto& nodes = parts_->table.nodes();
  for (auto node = nodes.lower_bound(after_node); node != nodes.end() && page.size() < limit;
       ++node) {
    std::vector<SessionId> ids;
    for (const auto& [id, registration] : node->second.sessions) {
      if (node->first != after_node || id > after_session) ids.push_back(id);
    }
    const size_t count = std::min(ids.size(), limit - page.size());
    std::partial_sort(ids.begin(), ids.begin() + static_cast<std::ptrdiff_t>(count), ids.end());
    for (size_t i = 0; i < count; ++i) {
      const Registration& registration = node->second.sessions.at(ids[i]);
      page.push_back({node->first, node->second.boot, ids[i], *registration.user->name,
                      registration.device, registration.since});
    }
  }
  return page;
}

Route ServiceMachine::explain(Time now, const std::string& user) const {
  return parts_->explain(now, user);
}

}  // namespace imctl::router
