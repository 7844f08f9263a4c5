#include "links.h"

#include <algorithm>
#include <utility>

namespace imctl::router {
namespace {

// Sessions in a frame.
constexpr size_t kBatch = 1000;
// How long a service may take to answer Join, and what a lease is until then.
constexpr Time kJoining = 15000;
// Ticks later than this mean that the process stood still, not that services were silent.
constexpr Time kStoodStill = 1000;
// Services without a link whose doubts are remembered.
constexpr size_t kMaxServices = 1000;

}  // namespace

Links::Link* Links::find(LinkId link) {
  for (Link& each : links_) {
    if (each.id == link) return &each;
  }
  return nullptr;
}

void Links::send(Time now, Link& link, Frame frame) {
  const size_t size = bytes_of(frame);
  link.queued += size;
  link.sent_at = now;
  out_.emplace_back(SendFrame{link.id, std::move(frame), size});
}

// Of messages: when the link ends, it may be that the service never had it.
void Links::send_news(Time now, Link& link, Frame frame) {
  link.news_at = now;
  send(now, link, std::move(frame));
}

void Links::up(Time now, LinkId id) {
  if (left_) {
    out_.emplace_back(DropLink{id, {Code::kCancelled, "the node stops"}});
    return;
  }
  Link& link = links_.emplace_back();
  link.id = id;
  link.lease = kJoining;
  link.heard_at = now;
  send(now, link,
       Join{settings_.node, settings_.boot, settings_.address, settings_.version, state_});
}

void Links::down(Time now, LinkId id) {
  const auto link =
      std::find_if(links_.begin(), links_.end(), [id](const Link& each) { return each.id == id; });
  if (link == links_.end()) return;
  const bool was_ready = link->ready;
  // What it took before the service gave it up, that one tells of; since then a lease has not passed.
  if (link->news_at != 0 && link->news_at + link->lease > now) ++doubts_;
  if (was_ready) {
    if (told_doubts_.size() >= kMaxServices) told_doubts_.clear();
    told_doubts_[link->service] = link->told_doubts;
  }
  links_.erase(link);
  if (home_ == id) {
    home_ = 0;
    settled_ = false;
    registering_ = false;
    snapshot_.clear();
  }
  if (was_ready) {
    // Pushes to this node that were in it are lost.
    registry_.resync(now);
    plan_home(now);
  }
  tell_doubts(now);
}

void Links::drop(Time now, LinkId id, Code code, std::string words) {
  out_.emplace_back(DropLink{id, {code, std::move(words)}});
  down(now, id);
}

void Links::written(Time now, LinkId id, size_t size) {
  Link* const link = find(id);
  if (link == nullptr) return;
  link->queued -= std::min(link->queued, size);
  if (link->id == home_ && registering_) go_on_registering(now);
  tell_doubts(now, *link);
}

bool Links::heard(Time now, LinkId id, const Frame& frame) {
  Link* const link = find(id);
  if (link == nullptr) return false;
  link->heard_at = now;
  if (const auto* answer = std::get_if<Joined>(&frame); answer != nullptr && !link->ready) {
    joined(now, *link, *answer);
    return true;
  }
  if (std::holds_alternative<Superseded>(frame)) return true;  // instead of Joined, or later
  const bool known =
      std::holds_alternative<Registered>(frame) || std::holds_alternative<Push>(frame) ||
      std::holds_alternative<Members>(frame) || std::holds_alternative<Unsure>(frame) ||
      std::holds_alternative<Resync>(frame) || std::holds_alternative<CloseSession>(frame);
  if (!link->ready || !known) {
    drop(now, id, Code::kInvalidArgument,
         std::string("the service sent a ") + name_of(frame) + ", which it may not now");
    return false;
  }
  if (const auto* members = std::get_if<Members>(&frame)) {
    link->nodes = members->nodes;
    // Somebody came, perhaps before pushes were left out.
    if (std::exchange(left_out_, false) && members->nodes > 1) ++doubts_;
    tell_doubts(now);
  }
  if (std::holds_alternative<Registered>(frame)) registered(now, *link);
  if (const auto* doubt = std::get_if<Unsure>(&frame)) unsure(now, *link, *doubt);
  return true;
}

void Links::joined(Time now, Link& link, const Joined& joined) {
  link.ready = true;
  link.ready_at = now;
  link.service = joined.service;
  link.rank = hash_of(settings_.node, hash_of(joined.service));
  link.lease = std::max<Time>(joined.lease, 3);
  link.nodes = 2;  // until it says: better a push too many
  link.holds = joined.kept > 0;
  const auto told = told_doubts_.find(link.service);
  link.told_doubts = told == told_doubts_.end() ? 0 : told->second;
  if (settled_) clear_others(now);
  plan_home(now);
  tell_doubts(now, link);
}

Links::Link* Links::best(Time now, Time ready_for) {
  Link* best = nullptr;
  for (Link& link : links_) {
    if (!link.ready || link.ready_at + ready_for > now) continue;
    if (best == nullptr || link.rank > best->rank) best = &link;
  }
  return best;
}

void Links::plan_home(Time now) {
  Link* const candidate = best(now, 0);
  if (candidate == nullptr || candidate->id == home_) {
    register_at_ = kNever;
    return;
  }
  // All nodes that lost the same home, or see the same new one, do this now.
  const auto jitter = static_cast<Time>(
      random_.below(static_cast<uint64_t>(std::max<Time>(settings_.register_spread, 1))));
  Time at = now;
  if (home_ != 0) {
    at = std::max(now, candidate->ready_at + settings_.home_settle) + jitter;
  } else if (registry_.count() > 0) {
    at = now + jitter;
  }
  register_at_ = register_at_ == kNever || home_ != 0 ? at : std::min(register_at_, at);
}

void Links::begin_registration(Time now, Link& link) {
  home_ = link.id;
  settled_ = false;
  link.holds = true;
  registering_ = true;
  ++generation_;
  added_.clear();
  removed_.clear();
  snapshot_ = registry_.all();
  told_ = 0;
  go_on_registering(now);
}

void Links::go_on_registering(Time now) {
  Link* const link = find(home_);
  const size_t wait_at = settings_.max_link_queue / 2;
  while (link != nullptr && registering_ && link->queued <= wait_at) {
    Sessions frame;
    frame.first = told_ == 0;
    SessionEntry entry;
    while (told_ < snapshot_.size() && frame.added.size() < kBatch) {
      if (registry_.entry(snapshot_[told_++], generation_, &entry)) frame.added.push_back(entry);
    }
    frame.last = told_ >= snapshot_.size();
    if (frame.last) {
      registering_ = false;
      snapshot_ = {};
      link->told.emplace_back();
    }
    send(now, *link, std::move(frame));
  }
}

void Links::registered(Time now, Link& link) {
  if (link.told.empty()) return;
  const std::vector<SessionId> sessions = std::move(link.told.front());
  link.told.pop_front();
  if (link.id != home_) return;
  // Until now services did not know where these sessions are.
  for (const SessionId session : sessions) registry_.look(now, session);
  if (!sessions.empty() || registering_ || settled_) return;
  settled_ = true;
  clear_others(now);
  registry_.resync(now);
  plan_home(now);
}

// Not before the new home has said that it knows them, so that somebody always does.
void Links::clear_others(Time now) {
  for (Link& link : links_) {
    if (link.id == home_ || !link.holds || !link.ready) continue;
    link.holds = false;
    link.told.emplace_back();
    send(now, link, Sessions{true, true, {}, {}});
  }
}

void Links::closed(SessionId session, uint32_t generation) {
  if (generation == generation_ && home_ != 0) removed_.push_back(session);
}

void Links::flush_changes(Time now) {
  Link* const link = find(home_);
  if (link == nullptr) {
    added_.clear();
    removed_.clear();
    return;
  }
  // Changes do not come in between the frames of a snapshot.
  if (registering_) return;
  Sessions frame;
  SessionEntry entry;
  for (const SessionId session : added_) {
    if (registry_.entry(session, generation_, &entry)) frame.added.push_back(entry);
  }
  frame.removed = std::move(removed_);
  added_.clear();
  removed_.clear();
  if (!frame.added.empty()) {
    std::vector<SessionId>& told = link->told.emplace_back();
    for (const SessionEntry& each : frame.added) told.push_back(each.session);
  }
  if (!frame.added.empty() || !frame.removed.empty()) send(now, *link, std::move(frame));
}

void Links::flush(Time now) {
  if (!added_.empty() || !removed_.empty()) flush_changes(now);
}

bool Links::alone() const {
  if (!settings_.clustered) return true;
  bool one = false;
  for (const Link& link : links_) {
    if (!link.ready) continue;
    if (link.nodes > 1) return false;
    one = true;
  }
  // Without a service nobody knows.
  return one;
}

void Links::push(Time now, Push push) {
  const size_t size = bytes_of(push);
  Link* through = find(home_);
  if (through == nullptr || !room(*through, size)) {
    through = nullptr;
    for (Link& link : links_) {
      if (!link.ready || !room(link, size)) continue;
      if (through == nullptr || link.queued < through->queued) through = &link;
    }
  }
  if (through == nullptr) {
    ++stats_.pushes_dropped;
    ++doubts_;
    return;
  }
  ++stats_.pushes_out;
  send_news(now, *through, std::move(push));
}

// Those that are linked are told now, each other one when it joins.
void Links::unsure(Time now, Link& from, const Unsure& unsure) {
  ++doubts_;
  for (Link& link : links_) {
    if (!link.ready) continue;
    if (link.id != from.id) {
      Push hint;
      hint.from_node = settings_.node;
      hint.time = unsure.time;
      hint.targets = unsure.targets;
      hint.own_only = true;
      if (!room(link, bytes_of(hint))) {
        ++stats_.pushes_dropped;
        continue;
      }
      ++stats_.pushes_out;
      send_news(now, link, std::move(hint));
    }
    if (link.told_doubts + 1 == doubts_) link.told_doubts = doubts_;
  }
}

void Links::nack(Time now, LinkId id, Nack nack) {
  Link* const link = find(id);
  if (link == nullptr) return;
  stats_.nacks += nack.users.size();
  send(now, *link, std::move(nack));
}

void Links::tell_doubts(Time now, Link& link) {
  if (!link.ready || link.told_doubts == doubts_) return;
  if (link.queued * 2 > settings_.max_link_queue) return;
  link.told_doubts = doubts_;
  send_news(now, link, Lost{});
}

void Links::tell_doubts(Time now) {
  for (Link& link : links_) tell_doubts(now, link);
}

void Links::state(Time now, NodeState state) {
  state_ = state;
  for (Link& link : links_) {
    if (link.ready) send(now, link, Renew{state_, registry_.count()});
  }
}

void Links::leave(Time now) {
  left_ = true;
  for (Link& link : links_) send(now, link, Leave{});
  home_ = 0;
  settled_ = registering_ = false;
  register_at_ = kNever;
}

void Links::tick(Time now) {
  const Time due = next_deadline();
  const Time late = due == kNever ? 0 : now - due;
  std::vector<LinkId> silent;
  for (Link& link : links_) {
    if (late > kStoodStill) {
      link.heard_at = std::min(now, link.heard_at + late);
      if (link.news_at != 0) link.news_at = std::min(now, link.news_at + late);
    }
    if (link.heard_at + link.lease <= now) {
      silent.push_back(link.id);
    } else if (link.ready && link.sent_at + link.lease / 3 <= now) {
      send(now, link, Renew{state_, registry_.count()});
    }
  }
  for (const LinkId link : silent) {
    drop(now, link, Code::kDeadlineExceeded, "the service said nothing for longer than a lease");
  }
  if (register_at_ > now) return;
  register_at_ = kNever;
  Link* const candidate = best(now, home_ == 0 ? 0 : settings_.home_settle);
  const Link* const home = find(home_);
  if (candidate == nullptr || (home != nullptr && candidate->rank <= home->rank)) {
    plan_home(now);
  } else {
    begin_registration(now, *candidate);
  }
}

Time Links::next_deadline() const {
  Time next = register_at_;
  for (const Link& link : links_) {
    next = std::min(next, link.heard_at + link.lease);
    if (link.ready) next = std::min(next, link.sent_at + link.lease / 3);
  }
  return next;
}

void Links::fill(NodeStats& stats) const {
  for (const Link& link : links_) {
    if (!link.ready) continue;
    ++stats.links;
    stats.others = std::max(stats.others, link.nodes == 0 ? 0 : link.nodes - 1);
    if (link.id == home_) stats.home = link.service;
  }
}

}  // namespace imctl::router
