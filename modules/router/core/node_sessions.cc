// Who is here: sessions come, are looked after, move and go.
#include <algorithm>
#include <utility>

#include "node_parts.h"

namespace imctl::router {

void NodeMachine::Parts::connect(Time now, const Hello& hello) {
  last_now = now;
  if (left || state != NodeState::kActive) {
    out.emplace_back(
        Close{hello.session,
              {Code::kUnavailable,
               "the node " + settings.node + " takes no new sessions: connect to another one"}});
    return;
  }
  User& user = users.try_emplace(hello.user).first->second;
  if (user.name == nullptr) user.name = &users.find(hello.user)->first;
  const size_t window =
      hello.window == 0 ? settings.window : std::min(hello.window, settings.window);
  auto made = std::make_unique<Session>(hello, window, settings.max_queued);
  Session& session = *made;
  session.user = &user;
  // Before the older session of the device is closed: the user stays.
  user.sessions.push_back(&session);
  sessions.emplace(hello.session, std::move(made));
  if (!hello.device.empty()) {
    const std::vector<Session*> here = user.sessions;
    for (Session* const other : here) {
      if (other != &session && other->device == hello.device) {
        close(now, *other, Code::kAborted, "the device " + hello.device + " connected again");
      }
    }
  }
  links.opened(session.id);
  session.start = std::make_unique<Start>(hello.start);
  if (hello.device.empty() && hello.start.from == Start::From::kEnd) {
    session.inbox.begin_at_end();
    session.start.reset();
  } else if (hello.device.empty()) {
    const Start& start = hello.start;
    const bool after = start.from == Start::From::kAfter;
    session.inbox.begin_after(after ? start.epoch : 0, after ? start.sequence : 0);
    out.emplace_back(Opened{session.id, session.inbox.epoch(), session.inbox.delivered()});
    session.start.reset();
  }
  want_read(session);
  session.resync_at = now + settings.resync_interval / 2 + jitter(settings.resync_interval / 2);
  arm(session, session.resync_at);
}

void NodeMachine::Parts::close(Time now, Session& session, Code code, std::string words) {
  out.emplace_back(Close{session.id, {code, std::move(words)}});
  forget(now, session);
}

void NodeMachine::Parts::forget(Time now, Session& session) {
  last_now = now;
  last_move(session);
  Sink here = sink();
  session.inbox.clear(here);
  stats.queued -= session.inbox.queued();
  // The client was not told that they are stored, so it sends them again.
  for (const WaitingSend& send : session.sends) stats.unanswered -= send.size;
  links.closed(session.id, session.told);
  User& user = *session.user;
  user.sessions.erase(std::find(user.sessions.begin(), user.sessions.end(), &session));
  if (user.sessions.empty()) users.erase(users.find(*user.name));
  sessions.erase(session.id);
}

void NodeMachine::Parts::ack(Time now, SessionId id, uint64_t epoch, uint64_t sequence) {
  Session* const session = find(id);
  if (session == nullptr) return;
  Sink here = sink();
  const uint64_t before = session->inbox.acknowledged();
  if (!session->inbox.ack(here, epoch, sequence)) {
    close(now, *session, Code::kInvalidArgument,
          "the client acknowledged message " + std::to_string(sequence) +
              ", which it was not sent: acknowledge what was received only");
    return;
  }
  if (session->inbox.acknowledged() == before) return;
  ++stats.acknowledged;
  progress(now, *session);
  move_cursor(now, *session);
  look_after(now, *session);
}

void NodeMachine::Parts::written(Time now, SessionId id, size_t size) {
  Session* const session = find(id);
  if (session == nullptr) return;
  Sink here = sink();
  session->inbox.written(here, size);
  progress(now, *session);
  look_after(now, *session);
}

void NodeMachine::Parts::progress(Time now, Session& session) {
  if (session.stall_at != kNever) session.stall_at = now + settings.stall_timeout;
}

void NodeMachine::Parts::look_after(Time now, Session& session) {
  if (session.inbox.blocked()) {
    if (session.stall_at == kNever) {
      session.stall_at = now + settings.stall_timeout;
      arm(session, session.stall_at);
    }
    return;
  }
  session.stall_at = kNever;
  if (session.inbox.wants_read()) want_read(session);
}

void NodeMachine::Parts::arm(Session& session, Time at) {
  if (at >= session.wake) return;
  session.wake = at;
  timers.add(at, session.id);
}

void NodeMachine::Parts::wake(Time now, Session& session) {
  session.wake = kNever;
  if (session.close_at <= now) {
    close(now, session, Code::kUnavailable,
          "the node " + settings.node + " is drained: connect to another one");
    return;
  }
  if (session.stall_at <= now) {
    ++stats.cut;
    close(now, session, Code::kResourceExhausted,
          "the client did not take messages that wait for it: connect again, nothing is lost");
    return;
  }
  if (session.move_at <= now) {
    session.move_at = kNever;
    out.emplace_back(Moving{session.id, std::max<Time>(until - now, 0)});
  }
  if (session.cursor_at <= now) {
    session.cursor_at = kNever;
    move_cursor(now, session);
  }
  if (session.retry_at <= now) {
    session.retry_at = kNever;
    look_after(now, session);
  }
  if (session.resync_at <= now) look_again(now, session);
  const Time next = std::min({session.close_at, session.stall_at, session.move_at,
                              session.cursor_at, session.retry_at, session.resync_at});
  if (next != kNever) arm(session, next);
}

void NodeMachine::Parts::look_again(Time now, Session& session) {
  session.resync_at = now + settings.resync_interval / 2 + jitter(settings.resync_interval);
  session.inbox.look();
  look_after(now, session);
}

// ---- cordon, drain

void NodeMachine::Parts::set_state(Time now, NodeState to, Time deadline) {
  state = to;
  until = to == NodeState::kDraining ? deadline : kNever;
  for (const auto& [id, session] : sessions) plan_leaving(now, *session);
  links.state(now, state);
}

void NodeMachine::Parts::plan_leaving(Time now, Session& session) {
  session.move_at = session.close_at = kNever;
  if (state != NodeState::kDraining) return;
  // Not all at once: they connect elsewhere right away.
  session.move_at = now + jitter((until - now) / 2);
  session.close_at = until;
  arm(session, std::min(session.move_at, session.close_at));
}

// ---- for services

std::vector<SessionId> NodeMachine::Parts::all() const {
  std::vector<SessionId> ids;
  ids.reserve(sessions.size());
  for (const auto& [id, session] : sessions) ids.push_back(id);
  std::sort(ids.begin(), ids.end());
  return ids;
}

bool NodeMachine::Parts::entry(SessionId id, uint32_t generation, SessionEntry* entry) {
  Session* const session = find(id);
  if (session == nullptr || session->told == generation) return false;
  session->told = generation;
  *entry = {id, *session->user->name, session->device, session->since};
  return true;
}

// Not before services can have told each other.
void NodeMachine::Parts::look(Time now, SessionId id) {
  Session* const session = find(id);
  if (session == nullptr) return;
  session->resync_at = now + settings.settle + jitter(settings.settle);
  arm(*session, session->resync_at);
}

// At most one at a time: what is lost during one is found by the next.
void NodeMachine::Parts::resync(Time now) {
  resync_at = std::min(resync_at, std::max(now, resync_free_at));
  if (resync_at <= now) begin_resync(now);
}

void NodeMachine::Parts::begin_resync(Time now) {
  resync_at = kNever;
  const Time spread =
      std::max(settings.resync_spread,
               static_cast<Time>(sessions.size() * 1000 / std::max(settings.resync_rate, 1U)));
  resync_free_at = now + settings.settle + spread;
  if (sessions.empty()) return;
  ++stats.resyncs;
  for (const auto& [id, session] : sessions) {
    // Not before services can have told each other where the sessions are.
    const Time at = now + settings.settle + jitter(spread);
    session->resync_at = at;
    arm(*session, session->resync_at);
  }
}

}  // namespace imctl::router
