// The way of a message through a service: who has a session of its recipients, and one frame for
// each.
#include <algorithm>
#include <unordered_set>
#include <utility>

#include "service_parts.h"

namespace imctl::router {

void ServiceMachine::Parts::pushed(Time now, Push push) {
  ++stats.pushes_in;
  if (push.own_only) return route(now, push, nullptr, true);
  // In doubt it is not known either that there is nobody else: the last that was heard of others
  // runs out while the broker is away.
  if (!status.sure) return route(now, push, nullptr, false);
  if (status.peers == 0) return route(now, push, nullptr, true);
  const size_t size = bytes_of(push);
  // What cannot be asked now, other services know.
  if (stats.waiting + size > settings.max_waiting) return route(now, push, nullptr, false);
  stats.waiting += size;
  waiting.push_back(std::move(push));
  if (asked == 0) ask();
}

// For as many of those that wait as fit into one question.
void ServiceMachine::Parts::ask() {
  if (waiting.empty()) return;
  std::unordered_set<std::string> users;
  asked = 0;
  for (const Push& push : waiting) {
    if (asked > 0 && users.size() + push.targets.size() > settings.find_batch) break;
    for (const Target& target : push.targets) users.insert(target.mailbox);
    ++asked;
  }
  Find find;
  find.ticket = asked_with = ++tickets;
  find.users.assign(users.begin(), users.end());
  std::sort(find.users.begin(), find.users.end());
  ++stats.finds;
  out.emplace_back(std::move(find));
}

void ServiceMachine::Parts::found(Time now, Ticket ticket, const Found& found) {
  if (ticket != asked_with || asked == 0) return;
  const bool sure = found.outcome.ok() && found.sure;
  Places places;
  if (sure) {
    for (const Location& location : found.locations) places[location.user].push_back(&location);
  }
  for (size_t i = 0; i < asked; ++i) {
    const Push push = std::move(waiting.front());
    waiting.pop_front();
    stats.waiting -= bytes_of(push);
    route(now, push, sure ? &places : nullptr, sure);
  }
  asked = 0;
  ask();
}

void ServiceMachine::Parts::route(Time now, const Push& push, const Places* places, bool sure) {
  ++splits;
  std::vector<std::pair<NodeRecord*, Push>> parts;
  std::vector<Target> unreachable;
  const auto add = [&](NodeRecord& node, const Target& target, SessionId session) {
    if (node.split != splits) {
      node.split = splits;
      node.part = parts.size();
      Push part;
      part.from_node = push.from_node;
      part.to_node = node.name;
      part.payload = push.payload;
      part.time = push.time;
      parts.emplace_back(&node, std::move(part));
    }
    auto& targets = parts[node.part].second.targets;
    if (targets.empty() || targets.back().mailbox != target.mailbox) {
      targets.push_back(target);
      targets.back().session = session;
    } else {
      targets.back().session = std::max(targets.back().session, session);
    }
  };
  for (const Target& target : push.targets) {
    bool anywhere = false;
    bool missed = false;
    if (const UserRecord* const user = table.user(target.mailbox)) {
      for (const UserRecord::Place& place : user->places) {
        anywhere = true;
        if (place.node->name == push.from_node) continue;  // it told its own
        if (place.node->link == 0) {
          missed = true;
        } else {
          add(*place.node, target, place.session);
        }
      }
    }
    if (places != nullptr) {
      const auto found = places->find(target.mailbox);
      if (found != places->end()) {
        for (const Location* const location : found->second) {
          NodeRecord* const node = table.node(location->node);
          if (node != nullptr && node->boot > location->boot) continue;  // that start is over
          anywhere = true;
          if (location->node == push.from_node) continue;
          if (node == nullptr || node->boot < location->boot || node->link == 0) {
            missed = true;
          } else {
            add(*node, target, location->session);
          }
        }
      }
    }
    if (missed || !sure) {
      unreachable.push_back(target);
    } else if (!anywhere) {
      ++stats.offline;
    }
  }
  for (auto& [node, part] : parts) deliver(now, *node, std::move(part));
  if (!unreachable.empty() && !push.own_only) {
    unsure(now, push.from_node, push, std::move(unreachable));
  }
}

void ServiceMachine::Parts::deliver(Time now, NodeRecord& node, Push push) {
  Link& link = *link_of(node);
  if (link.queued != 0 && link.queued + bytes_of(push) > settings.max_link_queue) {
    ++stats.pushes_dropped;
    link.lossy = true;
    return;
  }
  ++stats.pushes_out;
  send(now, link, std::move(push));
}

void ServiceMachine::Parts::unsure(Time now, const std::string& source, const Push& push,
                                   std::vector<Target> targets) {
  const NodeRecord* const node = table.node(source);
  Link* const link = node == nullptr ? nullptr : link_of(*node);
  // A node that went: its pushes are found by the next look.
  if (link == nullptr) return;
  stats.unsure += targets.size();
  send(now, *link, Unsure{push.time, std::move(targets)});
}

}  // namespace imctl::router
