#include "service.h"

#include <algorithm>
#include <utility>

#include "service_parts.h"

namespace imctl::router {
namespace {

// How long a node may take to say Join.
constexpr Time kJoining = 15000;
// Names of nodes whose last start is remembered when they are gone.
constexpr size_t kMaxBoots = 100000;
// Ticks later than this mean that the process stood still, not that nodes were silent.
constexpr Time kStoodStill = 1000;

}  // namespace

ServiceMachine::Parts::Parts(ServiceSettings given, uint64_t seed)
    : settings(std::move(given)), random(seed), reporter(settings, out), table(reporter) {
  reporter.attach(table);
}

void ServiceMachine::Parts::send(Time now, Link& link, Frame frame) {
  const size_t size = bytes_of(frame);
  link.queued += size;
  link.sent_at = now;
  out.emplace_back(SendFrame{link.id, std::move(frame), size});
}

// ---- links

void ServiceMachine::Parts::up(Time now, LinkId id) {
  if (left) {
    out.emplace_back(DropLink{id, {Code::kUnavailable, "the service stops"}});
    return;
  }
  Link& link = links[id];
  link.id = id;
  link.opened_at = link.sent_at = now;
  link_timers.add(now + kJoining, id);
}

void ServiceMachine::Parts::down(Time now, LinkId id) {
  const auto link = links.find(id);
  if (link == links.end()) return;
  const std::string name = std::move(link->second.node);
  links.erase(link);
  NodeRecord* const node = table.node(name);
  if (node == nullptr || node->link != id) return;
  node->link = 0;
  node->ended_at = now;
  node->in_snapshot = false;
  watch(*node);
  // Pushes that were in it are lost, and the node is not there perhaps to say so.
  lost(now, name);
}

void ServiceMachine::Parts::written(Time now, LinkId id, size_t size) {
  Link* const link = find(id);
  if (link == nullptr) return;
  link->queued -= std::min(link->queued, size);
  if (link->lossy && link->queued * 2 <= settings.max_link_queue) {
    link->lossy = false;
    send(now, *link, Resync{});
  }
}

void ServiceMachine::Parts::drop(Time now, LinkId id, Code code, std::string words) {
  out.emplace_back(DropLink{id, {code, std::move(words)}});
  down(now, id);
}

void ServiceMachine::Parts::frame(Time now, LinkId id, Frame frame) {
  Link* const link = find(id);
  if (link == nullptr) return;
  if (const auto* join = std::get_if<Join>(&frame); join != nullptr && link->node.empty()) {
    joined(now, *link, *join);
    return;
  }
  NodeRecord* const node = link->node.empty() ? nullptr : table.node(link->node);
  if (node == nullptr || node->link != id) {
    return drop(now, id, Code::kFailedPrecondition,
                std::string("the node sent a ") + name_of(frame) + " before it joined");
  }
  node->heard_at = now;
  if (auto* push = std::get_if<Push>(&frame)) {
    push->from_node = node->name;
    pushed(now, std::move(*push));
  } else if (const auto* renew = std::get_if<Renew>(&frame)) {
    node->state = renew->state;
    node->told_sessions = renew->sessions;
  } else if (const auto* sessions = std::get_if<Sessions>(&frame)) {
    table.apply(*node, *sessions);
    if (sessions->last || (!node->in_snapshot && !sessions->added.empty())) {
      send(now, *link, Registered{});
    }
  } else if (const auto* nack = std::get_if<Nack>(&frame)) {
    nacked(*node, *nack);
  } else if (std::holds_alternative<Lost>(frame)) {
    lost(now, node->name);
  } else if (std::holds_alternative<Leave>(frame)) {
    remove(now, *node);
    drop(now, id, Code::kOk, "goodbye");
  } else if (std::holds_alternative<Join>(frame)) {
    drop(now, id, Code::kInvalidArgument, "the node joined twice over one link");
  } else {
    drop(now, id, Code::kInvalidArgument,
         std::string("the node sent a ") + name_of(frame) + ", which only services send");
  }
}

// ---- nodes

void ServiceMachine::Parts::joined(Time now, Link& link, const Join& join) {
  const size_t before = table.nodes().size();
  const LinkId id = link.id;
  if (join.node.empty()) {
    return drop(now, id, Code::kInvalidArgument, "the node has no name");
  }
  NodeRecord* known = table.node(join.node);
  if (boots.size() >= kMaxBoots && boots.count(join.node) == 0) boots.clear();
  uint64_t& newest = boots[join.node];
  if (newest > join.boot) {
    ++stats.refused;
    send(now, link, Superseded{newest});
    // It stored messages perhaps that it could tell nobody.
    lost(now, {});
    return drop(now, id, Code::kFailedPrecondition,
                "a newer start of the node " + join.node + " has joined: this one is over");
  }
  // The start before it stored messages perhaps that it could tell nobody.
  if (newest != 0 && newest < join.boot) lost(now, join.node);
  newest = join.boot;
  if (known != nullptr && known->link != 0) {
    const LinkId old = known->link;
    if (known->boot < join.boot) send(now, *find(old), Superseded{join.boot});
    drop(now, old, Code::kAborted, "the node " + join.node + " joined again");
  }
  if (known != nullptr && known->boot < join.boot) numbers.erase(known->number);
  NodeRecord& node = table.join(join);
  numbers[node.number] = node.name;
  node.link = id;
  node.heard_at = now;
  node.ended_at = kNever;
  link.node = node.name;
  send(now, link, Joined{settings.service, settings.boot, settings.lease, node.sessions.size()});
  watch(node);
  link_timers.add(now + settings.lease / 3, id);
  members_changed(now, before);
  if (before > 1 || table.nodes().size() == before) send(now, link, Members{table.nodes().size()});
}

// Between one and more is what nodes must know at once; the rest they hear with the next sign of
// life.
void ServiceMachine::Parts::members_changed(Time now, size_t before) {
  const size_t after = table.nodes().size();
  if (before == after || std::min(before, after) > 1) return;
  for (auto& [name, node] : table.nodes()) {
    if (Link* const link = link_of(node)) send(now, *link, Members{after});
  }
}

void ServiceMachine::Parts::remove(Time now, NodeRecord& node) {
  const size_t before = table.nodes().size();
  numbers.erase(node.number);
  table.remove(node);
  members_changed(now, before);
}

// What another service says of the node is that one's to drop: the node tells it, or its lease ends.
void ServiceMachine::Parts::nacked(NodeRecord& node, const Nack& nack) {
  for (const Nacked& each : nack.users) stats.nacks += table.drop(node, each.user, each.session);
}

// ---- leases

Time ServiceMachine::Parts::lease_end(const NodeRecord& node) const {
  const Time end = node.heard_at + settings.lease;
  if (node.ended_at == kNever) return end;
  return std::min(end, node.ended_at + std::min(settings.grace, settings.lease));
}

void ServiceMachine::Parts::watch(const NodeRecord& node) {
  node_timers.add(lease_end(node), node.number);
}

void ServiceMachine::Parts::check(Time now, NodeRecord& node) {
  if (lease_end(node) > now) return watch(node);
  ++stats.leases_over;
  const LinkId link = node.link;
  remove(now, node);
  if (link != 0) {
    drop(now, link, Code::kDeadlineExceeded, "the node said nothing for longer than its lease");
  }
}

void ServiceMachine::Parts::check_silent(Time now, Link& link) {
  if (link.node.empty()) {
    if (link.opened_at + kJoining <= now) {
      drop(now, link.id, Code::kDeadlineExceeded, "the node did not join");
    } else {
      link_timers.add(link.opened_at + kJoining, link.id);
    }
    return;
  }
  const Time third = settings.lease / 3;
  if (link.sent_at + third <= now) send(now, link, Members{table.nodes().size()});
  link_timers.add(link.sent_at + third, link.id);
}

// Nothing was read meanwhile, so nobody was silent. What was heard since counts as it is.
void ServiceMachine::Parts::stood_still(Time now, Time by) {
  for (auto& [name, node] : table.nodes()) {
    node.heard_at = std::min(now, node.heard_at + by);
    if (node.ended_at != kNever) node.ended_at = std::min(now, node.ended_at + by);
    watch(node);
  }
  for (auto& [id, link] : links) link.opened_at = std::min(now, link.opened_at + by);
}

void ServiceMachine::Parts::tick(Time now) {
  const Time due_at = std::min(node_timers.next(), link_timers.next());
  if (due_at != kNever && now - due_at > kStoodStill) stood_still(now, now - due_at);
  Timers::Entry due;
  while (node_timers.due(now, &due)) {
    const auto name = numbers.find(due.key);
    NodeRecord* const node = name == numbers.end() ? nullptr : table.node(name->second);
    if (node != nullptr && node->number == due.key) check(now, *node);
  }
  while (link_timers.due(now, &due)) {
    if (Link* const link = find(due.key)) check_silent(now, *link);
  }
  if (lost_at <= now) tell_lost(now);
  reporter.tick(now);
}

// ---- pushes that nodes lost

void ServiceMachine::Parts::locations(Time now, LocationsStatus to) {
  reporter.shared(now, to.shared);
  const bool doubt = status.sure && !to.sure;
  status = std::move(to);
  // What was found before it noticed was old perhaps.
  if (doubt) lost(now, {});
}

void ServiceMachine::Parts::lost(Time now, const std::string& node) {
  lost_by = lost_at == kNever || lost_by == node ? node : std::string();
  lost_at = std::min(lost_at, std::max(now, lost_free_at));
  if (lost_at <= now) tell_lost(now);
}

void ServiceMachine::Parts::tell_lost(Time now) {
  lost_at = kNever;
  lost_free_at = now + settings.resync_pause;
  for (auto& [name, node] : table.nodes()) {
    Link* const link = name == lost_by ? nullptr : link_of(node);
    if (link != nullptr) send(now, *link, Resync{});
  }
}

// ---- the machine

ServiceMachine::ServiceMachine(ServiceSettings settings, uint64_t seed)
    : parts_(std::make_unique<Parts>(std::move(settings), seed)) {}
ServiceMachine::~ServiceMachine() = default;

void ServiceMachine::link_up(Time now, LinkId link) { parts_->up(now, link); }
void ServiceMachine::link_down(Time now, LinkId link) { parts_->down(now, link); }
void ServiceMachine::link_written(Time now, LinkId link, size_t size) {
  parts_->written(now, link, size);
}
void ServiceMachine::frame(Time now, LinkId link, Frame frame) {
  parts_->frame(now, link, std::move(frame));
}
void ServiceMachine::locations(Time now, LocationsStatus status) {
  parts_->locations(now, std::move(status));
}
void ServiceMachine::found(Time now, Ticket ticket, const Found& found) {
  parts_->found(now, ticket, found);
}
void ServiceMachine::reported(Time now, Ticket ticket, const Outcome& outcome) {
  parts_->reporter.reported(now, ticket, outcome);
}

bool ServiceMachine::close_session(Time now, const std::string& node, uint64_t boot,
                                   SessionId session, Code code, std::string words) {
  NodeRecord* const record = parts_->table.node(node);
  if (record == nullptr || record->boot != boot) return false;
  Parts::Link* const link = parts_->link_of(*record);
  if (link == nullptr || record->sessions.count(session) == 0) return false;
  parts_->send(now, *link, CloseSession{session, code, std::move(words)});
  return true;
}

size_t ServiceMachine::close_user(Time now, const std::string& user, Code code,
                                  const std::string& words) {
  const UserRecord* const record = parts_->table.user(user);
  if (record == nullptr) return 0;
  size_t count = 0;
  for (const UserRecord::Place& place : record->places) {
    Parts::Link* const link = parts_->link_of(*place.node);
    if (link == nullptr) continue;
    parts_->send(now, *link, CloseSession{place.session, code, words});
    ++count;
  }
  return count;
}

void ServiceMachine::leave(Time now) {
  parts_->left = true;
  std::vector<LinkId> links;
  for (const auto& [id, link] : parts_->links) links.push_back(id);
  std::sort(links.begin(), links.end());
  for (const LinkId link : links) {
    parts_->drop(now, link, Code::kUnavailable, "the service stops");
  }
}

void ServiceMachine::tick(Time now) { parts_->tick(now); }

Time ServiceMachine::next_deadline() const {
  return std::min({parts_->node_timers.next(), parts_->link_timers.next(), parts_->lost_at,
                   parts_->reporter.next_deadline()});
}

void ServiceMachine::take(ServiceActions& into) {
  into.clear();
  into.swap(parts_->out);
}

}  // namespace imctl::router
