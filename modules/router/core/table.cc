#include "table.h"

#include <algorithm>

namespace imctl::router {

NodeRecord* Table::node(const std::string& name) {
  const auto found = nodes_.find(name);
  return found == nodes_.end() ? nullptr : &found->second;
}

const UserRecord* Table::user(const std::string& name) const {
  const auto found = users_.find(name);
  return found == users_.end() ? nullptr : &found->second;
}

NodeRecord& Table::join(const Join& join) {
  NodeRecord* record = node(join.node);
  if (record != nullptr && record->boot != join.boot) {
    remove(*record);
    record = nullptr;
  }
  if (record == nullptr) {
    record = &nodes_[join.node];
    record->name = join.node;
    record->boot = join.boot;
    record->number = ++numbers_;
  }
  record->address = join.address;
  record->version = join.version;
  record->state = join.state;
  record->in_snapshot = false;
  return *record;
}

void Table::remove(NodeRecord& node) {
  while (!node.sessions.empty()) erase(node, node.sessions.begin()->first);
  nodes_.erase(nodes_.find(std::string(node.name)));
}

void Table::apply(NodeRecord& node, const Sessions& frame) {
  if (frame.first) {
    ++node.snapshot;
    node.in_snapshot = true;
  }
  for (const SessionEntry& entry : frame.added) add(node, entry);
  for (const SessionId session : frame.removed) erase(node, session);
  if (!frame.last || !node.in_snapshot) return;
  node.in_snapshot = false;
  std::vector<SessionId> gone;
  for (const auto& [id, registration] : node.sessions) {
    if (registration.snapshot != node.snapshot) gone.push_back(id);
  }
  std::sort(gone.begin(), gone.end());
  for (const SessionId session : gone) erase(node, session);
}

size_t Table::drop(NodeRecord& node, const std::string& user, SessionId up_to) {
  const UserRecord* const record = this->user(user);
  if (record == nullptr) return 0;
  std::vector<SessionId> gone;
  for (const UserRecord::Place& place : record->places) {
    if (place.node == &node && place.session <= up_to) gone.push_back(place.session);
  }
  for (const SessionId session : gone) erase(node, session);
  return gone.size();
}

void Table::add(NodeRecord& node, const SessionEntry& entry) {
  const auto [place, fresh] = node.sessions.try_emplace(entry.session);
  Registration& registration = place->second;
  registration.snapshot = node.snapshot;
  if (!fresh) return;  // a session never changes
  const auto user = users_.try_emplace(entry.user).first;
  user->second.name = &user->first;
  user->second.places.push_back({&node, entry.session});
  registration.user = &user->second;
  registration.device = entry.device;
  registration.since = entry.since;
  ++locations_;
  watcher_.changed(node, entry.session, entry.user);
}

void Table::erase(NodeRecord& node, SessionId session) {
  const auto found = node.sessions.find(session);
  if (found == node.sessions.end()) return;
  UserRecord& user = *found->second.user;
  node.sessions.erase(found);
  --locations_;
  watcher_.changed(node, session, *user.name);
  auto& places = user.places;
  places.erase(std::find_if(places.begin(), places.end(), [&](const UserRecord::Place& place) {
    return place.node == &node && place.session == session;
  }));
  if (places.empty()) users_.erase(users_.find(*user.name));
}

}  // namespace imctl::router
