#include "directory.h"

#include <algorithm>
#include <memory>
#include <utility>

namespace imctl::simulation {
namespace {

constexpr Time kSilent = 2500;  // after which a peer is doubted
constexpr Time kOver = 15000;   // and forgotten
constexpr Time kListening = 2500;

}  // namespace

void Directory::start(const std::string& service, uint64_t life) {
  Part part;
  part.life = life;
  part.started_at = timeline_.now();
  parts_[service] = std::move(part);
}

void Directory::stop(const std::string& service) { parts_.erase(service); }

void Directory::pause(const std::string& service, bool paused) {
  const auto part = parts_.find(service);
  if (part == parts_.end()) return;
  part->second.paused = paused;
  // What was said meanwhile was lost: it doubts all that it knows until it hears again.
  if (!paused) part->second.started_at = timeline_.now();
}

void Directory::broadcast(const std::string& from, size_t size,
                          const std::function<void(const std::string&, Part&)>& receive) {
  if (away) return;
  for (const auto& [name, part] : parts_) {
    if (name == from) continue;
    ++messages;
    bytes += size;
    if (random_.below(1000) < losing) continue;
    const Time delay = 1 + static_cast<Time>(random_.below(static_cast<uint64_t>(slowest)));
    timeline_.in(delay, [this, to = name, receive] {
      const auto found = parts_.find(to);
      if (found != parts_.end() && !found->second.paused && !away) receive(to, found->second);
    });
  }
}

void Directory::report(const std::string& service, const router::Report& report) {
  Part& part = parts_[service];
  std::vector<Change> changes;
  if (report.first) {
    part.in_snapshot = true;
    part.snapshot.clear();
  }
  if (part.in_snapshot) {
    for (const Location& each : report.added) part.snapshot[key(each)] = each;
    if (!report.last) return;
    part.in_snapshot = false;
    for (const auto& [at, location] : part.own) {
      if (part.snapshot.count(at) == 0) changes.push_back({false, location});
    }
    for (const auto& [at, location] : part.snapshot) {
      if (part.own.count(at) == 0) changes.push_back({true, location});
    }
    part.snapshot.clear();
  } else {
    for (const Location& each : report.removed) changes.push_back({false, each});
    for (const Location& each : report.added) changes.push_back({true, each});
  }
  if (!changes.empty()) publish(service, part, std::move(changes));
}

void Directory::publish(const std::string& service, Part& part, std::vector<Change> changes) {
  size_t size = 32;
  for (const Change& change : changes) {
    size += change.location.user.size() + change.location.node.size() + 24;
    if (change.add) {
      part.own[key(change.location)] = change.location;
    } else {
      part.own.erase(key(change.location));
    }
  }
  const uint64_t version = ++part.version;
  auto shared = std::make_shared<const std::vector<Change>>(std::move(changes));
  broadcast(service, size,
            [this, service, life = part.life, version, shared](const std::string& to, Part&) {
              receive_changes(to, service, life, version, *shared);
            });
}

void Directory::apply(Part& part, const std::string& peer, Replica& replica, const Change& change) {
  const Key at = key(change.location);
  if (change.add) {
    replica.locations[at] = change.location;
    part.by_user[change.location.user][{peer, at}] = change.location;
    return;
  }
  const auto known = replica.locations.find(at);
  if (known == replica.locations.end()) return;
  const auto user = part.by_user.find(known->second.user);
  replica.locations.erase(known);
  if (user == part.by_user.end()) return;
  user->second.erase({peer, at});
  if (user->second.empty()) part.by_user.erase(user);
}

void Directory::receive_changes(const std::string& to, const std::string& from, uint64_t life,
                                uint64_t version, const std::vector<Change>& changes) {
  Part& part = parts_[to];
  Replica& replica = part.replicas[from];
  if (life < replica.life) return;
  if (life > replica.life) {
    forget(part, from);
    part.replicas[from].life = life;
  }
  Replica& now = part.replicas[from];
  now.heard_at = timeline_.now();
  now.told = std::max(now.told, version);
  if (version == now.version + 1 && (now.whole || version == 1)) {
    now.whole = true;
    now.version = version;
    for (const Change& change : changes) apply(part, from, now, change);
  } else if (version > now.version) {
    ask(to, from);
  }
}

void Directory::receive_digest(const std::string& to, const std::string& from, uint64_t life,
                               uint64_t version) {
  Part& part = parts_[to];
  if (life < part.replicas[from].life) return;
  if (life > part.replicas[from].life) {
    forget(part, from);
    part.replicas[from].life = life;
  }
  Replica& replica = part.replicas[from];
  replica.heard_at = timeline_.now();
  replica.told = std::max(replica.told, version);
  if (version == 0) replica.whole = true;
  if (replica.version < replica.told || !replica.whole) ask(to, from);
}

void Directory::ask(const std::string& to, const std::string& from) {
  Replica& replica = parts_[to].replicas[from];
  if (replica.asked) return;
  replica.asked = true;
  const Time there = 1 + static_cast<Time>(random_.below(static_cast<uint64_t>(slowest)));
  timeline_.in(there, [this, to, from] {
    const auto origin = parts_.find(from);
    const bool heard = origin != parts_.end() && !origin->second.paused && !away;
    const Time back = 1 + static_cast<Time>(random_.below(static_cast<uint64_t>(slowest)));
    const bool lost = random_.below(1000) < losing;
    std::shared_ptr<const std::map<Key, Location>> copy;
    uint64_t version = 0;
    uint64_t life = 0;
    if (heard) {
      copy = std::make_shared<const std::map<Key, Location>>(origin->second.own);
      version = origin->second.version;
      life = origin->second.life;
    }
    ++messages;
    bytes += copy == nullptr ? 16 : copy->size() * 60;
    timeline_.in(back, [this, to, from, copy, version, life, lost] {
      const auto found = parts_.find(to);
      if (found == parts_.end()) return;
      Replica& replica = found->second.replicas[from];
      replica.asked = false;
      if (copy == nullptr || lost || away || found->second.paused || life != replica.life ||
          (replica.whole && version <= replica.version)) {
        return;
      }
      const uint64_t told = std::max(replica.told, version);
      forget(found->second, from);
      Replica& fresh = found->second.replicas[from];
      fresh.life = life;
      fresh.version = version;
      fresh.told = told;
      fresh.whole = true;
      fresh.heard_at = timeline_.now();
      for (const auto& [at, location] : *copy) apply(found->second, from, fresh, {true, location});
    });
  });
}

void Directory::forget(Part& part, const std::string& peer) {
  Replica& replica = part.replicas[peer];
  while (!replica.locations.empty()) {
    const Location location = replica.locations.begin()->second;
    apply(part, peer, replica, {false, location});
  }
  part.replicas.erase(peer);
}

void Directory::tick(const std::string& service) {
  Part& part = parts_[service];
  broadcast(service, 40,
            [this, service, life = part.life, version = part.version](
                const std::string& to, Part&) { receive_digest(to, service, life, version); });
  std::vector<std::string> over;
  for (const auto& [peer, replica] : part.replicas) {
    if (replica.heard_at + kOver <= timeline_.now()) over.push_back(peer);
  }
  for (const std::string& peer : over) forget(part, peer);
}

router::LocationsStatus Directory::status(const std::string& service) {
  const Part& part = parts_[service];
  router::LocationsStatus status;
  status.shared = true;
  status.peers = part.replicas.size();
  if (part.started_at + kListening > timeline_.now()) {
    status.sure = false;
    status.peers = std::max<uint64_t>(status.peers, 1);
    status.why = "it listens since a moment only";
  }
  for (const auto& [peer, replica] : part.replicas) {
    if (replica.heard_at + kSilent <= timeline_.now()) {
      status.sure = false;
      status.why = peer + " is silent";
    } else if (!replica.whole || replica.version < replica.told) {
      status.sure = false;
      status.why = "a part of what " + peer + " told is missing";
    }
  }
  return status;
}

router::Found Directory::find(const std::string& service, const std::vector<std::string>& users) {
  router::Found found;
  const Part& part = parts_[service];
  found.sure = status(service).sure;
  for (const std::string& user : users) {
    const auto known = part.by_user.find(user);
    if (known == part.by_user.end()) continue;
    for (const auto& [at, location] : known->second) found.locations.push_back(location);
  }
  return found;
}

}  // namespace imctl::simulation
