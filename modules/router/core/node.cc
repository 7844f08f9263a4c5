#include "node.h"

#include <algorithm>
#include <utility>

#include "node_parts.h"

namespace imctl::router {
namespace {

// What a send counts as beside its content.
constexpr size_t kOverhead = 128;

}  // namespace

NodeMachine::Parts::Parts(NodeSettings given, uint64_t seed)
    : settings(std::move(given)), random(seed), links(settings, random, out, stats, *this) {}

// ---- messages from clients

void NodeMachine::Parts::send(SessionId id, uint64_t reference, std::vector<std::string> recipients,
                              Payload payload, size_t size) {
  Session* const session = find(id);
  if (session == nullptr) return;
  if (recipients.empty()) {
    out.emplace_back(
        Rejected{id, reference, {Code::kInvalidArgument, "the message is for nobody"}});
    return;
  }
  size += kOverhead;
  session->unanswered += size;
  stats.unanswered += size;
  if (!session->paused && session->unanswered >= settings.max_unanswered) pause(*session);
  if (!session->in_line && stats.unanswered >= settings.max_unanswered_total) {
    pause(*session);
    session->in_line = true;
    line.push_back(id);
  }
  WaitingSend next{reference, std::move(recipients), std::move(payload), size};
  if (session->appending) {
    session->sends.push_back(std::move(next));
  } else {
    append(*session, std::move(next));
  }
}

void NodeMachine::Parts::append(Session& session, WaitingSend send) {
  session.appending = true;
  const Ticket ticket = appends.add({session.id, send.reference, send.size, send.payload});
  out.emplace_back(Append{ticket, std::move(send.recipients), std::move(send.payload)});
}

void NodeMachine::Parts::pause(Session& session) {
  if (session.paused) return;
  session.paused = true;
  out.emplace_back(PauseSends{session.id});
}

void NodeMachine::Parts::resume(Session& session) {
  if (!session.paused || session.in_line || session.unanswered * 2 > settings.max_unanswered)
    return;
  session.paused = false;
  out.emplace_back(ResumeSends{session.id});
}

// Those that wait for all together to have room again, in their order.
void NodeMachine::Parts::resume_line() {
  while (!line.empty() && stats.unanswered * 2 <= settings.max_unanswered_total) {
    Session* const session = find(line.front());
    line.pop_front();
    if (session == nullptr) continue;
    session->in_line = false;
    resume(*session);
  }
}

void NodeMachine::Parts::stored(Time now, Ticket ticket, Stored stored) {
  PendingAppend pending;
  if (!appends.take(ticket, &pending)) return;
  stats.unanswered -= pending.size;
  Session* const session = find(pending.session);
  if (session != nullptr) session->unanswered -= pending.size;
  if (stored.outcome.ok()) {
    ++stats.accepted;
    const size_t sent = out.size();
    if (session != nullptr) {
      out.emplace_back(Sent{pending.session, pending.reference, stored.time, stored.duplicate, {}});
    }
    // Also when it was stored before: whoever stored it may have stopped before it was pushed.
    publish(now, stored.positions, stored.time, pending.payload);
    if (session != nullptr) std::get<Sent>(out[sent]).positions = std::move(stored.positions);
  } else {
    ++stats.rejected;
    if (session != nullptr) {
      out.emplace_back(Rejected{pending.session, pending.reference, std::move(stored.outcome)});
    }
  }
  if (session != nullptr) {
    session->appending = false;
    if (!session->sends.empty()) {
      WaitingSend next = std::move(session->sends.front());
      session->sends.pop_front();
      append(*session, std::move(next));
    }
    resume(*session);
  }
  resume_line();
}

void NodeMachine::Parts::publish(Time now, const std::vector<Position>& positions, WallTime time,
                                 const Payload& payload) {
  const bool alone = links.alone();
  Push push;
  for (const Position& position : positions) {
    const auto user = users.find(position.mailbox);
    if (user != users.end()) {
      push_here(now, user->second, position.epoch, position.sequence, time, payload);
    }
    if (!alone) push.targets.push_back({position.mailbox, position.epoch, position.sequence, 0});
  }
  if (push.targets.empty()) {
    links.left_out();
    return;
  }
  push.from_node = settings.node;
  push.time = time;
  if (payload != nullptr && payload->size() <= settings.max_push) push.payload = payload;
  links.push(now, std::move(push));
}

void NodeMachine::Parts::push_here(Time now, const User& user, uint64_t epoch, uint64_t sequence,
                                   WallTime time, const Payload& payload) {
  Sink here = sink();
  for (Session* const session : user.sessions) {
    session->inbox.push(here, epoch, sequence, time, payload);
    look_after(now, *session);
  }
}

// ---- frames from services

void NodeMachine::Parts::pushed(Time now, LinkId link, const Push& push) {
  if (push.to_node != settings.node) return;
  ++stats.pushes_in;
  Nack nack;
  for (const Target& target : push.targets) {
    const auto user = users.find(target.mailbox);
    if (user == users.end()) {
      nack.users.push_back({target.mailbox, target.session});
      continue;
    }
    push_here(now, user->second, target.epoch, target.sequence, push.time, push.payload);
    const auto& here = user->second.sessions;
    if (std::all_of(here.begin(), here.end(),
                    [&](const Session* each) { return each->id > target.session; })) {
      nack.users.push_back({target.mailbox, target.session});
    }
  }
  if (!nack.users.empty()) links.nack(now, link, std::move(nack));
}

void NodeMachine::Parts::frame(Time now, LinkId link, Frame frame) {
  if (!links.heard(now, link, frame)) return;
  if (const auto* push = std::get_if<Push>(&frame)) {
    pushed(now, link, *push);
  } else if (std::holds_alternative<Resync>(frame)) {
    resync(now);
  } else if (std::holds_alternative<Superseded>(frame)) {
    stats.superseded = true;
    leave(now, "a later start of the node " + settings.node + " has taken over: connect again");
  } else if (auto* asked = std::get_if<CloseSession>(&frame)) {
    if (Session* const session = find(asked->session)) {
      close(now, *session, asked->code, std::move(asked->words));
    }
  }
}

void NodeMachine::Parts::leave(Time now, const std::string& words) {
  left = true;
  for (const SessionId id : all()) close(now, *find(id), Code::kUnavailable, words);
  links.leave(now);
}

// ---- time

void NodeMachine::Parts::tick(Time now) {
  last_now = now;
  if (links.next_deadline() <= now) links.tick(now);
  if (resync_at <= now) begin_resync(now);
  Timers::Entry due;
  while (timers.due(now, &due)) {
    Session* const session = find(due.key);
    if (session != nullptr && session->wake == due.at) wake(now, *session);
  }
  retry_moves(now);
}

Time NodeMachine::Parts::next_deadline() const {
  return std::min({timers.next(), move_timers.next(), links.next_deadline(), resync_at});
}

// ---- the machine

NodeMachine::NodeMachine(NodeSettings settings, uint64_t seed)
    : parts_(std::make_unique<Parts>(std::move(settings), seed)) {}
NodeMachine::~NodeMachine() = default;

void NodeMachine::connect(Time now, const Hello& hello) { parts_->connect(now, hello); }
void NodeMachine::gone(Time now, SessionId session) {
  if (Session* const found = parts_->find(session)) parts_->forget(now, *found);
}
void NodeMachine::send(Time /*now*/, SessionId session, uint64_t reference,
                       std::vector<std::string> recipients, Payload payload, size_t size) {
  parts_->send(session, reference, std::move(recipients), std::move(payload), size);
}
void NodeMachine::ack(Time now, SessionId session, uint64_t epoch, uint64_t sequence) {
  parts_->ack(now, session, epoch, sequence);
}
void NodeMachine::written(Time now, SessionId session, size_t size) {
  parts_->written(now, session, size);
}
void NodeMachine::stored(Time now, Ticket ticket, Stored stored) {
  parts_->stored(now, ticket, std::move(stored));
}
void NodeMachine::page(Time now, Ticket ticket, const Page& page) {
  parts_->page(now, ticket, page);
}
void NodeMachine::cursors(Time now, Ticket ticket, CursorPage cursors) {
  parts_->listed(now, ticket, std::move(cursors));
}
void NodeMachine::moved(Time now, Ticket ticket, const Outcome& outcome) {
  parts_->moved(now, ticket, outcome);
}
void NodeMachine::publish(Time now, const std::vector<Position>& positions, WallTime time,
                          const Payload& payload) {
  parts_->publish(now, positions, time, payload);
}
void NodeMachine::link_up(Time now, LinkId link) { parts_->links.up(now, link); }
void NodeMachine::link_down(Time now, LinkId link) { parts_->links.down(now, link); }
void NodeMachine::link_written(Time now, LinkId link, size_t size) {
  parts_->links.written(now, link, size);
}
void NodeMachine::frame(Time now, LinkId link, Frame frame) {
  parts_->frame(now, link, std::move(frame));
}
void NodeMachine::state(Time now, NodeState state, Time until) {
  parts_->set_state(now, state, until);
}
void NodeMachine::close_session(Time now, SessionId session, Code code, std::string words) {
  if (Session* const found = parts_->find(session)) {
    parts_->close(now, *found, code, std::move(words));
  }
}
void NodeMachine::close_user(Time now, const std::string& user, Code code,
                             const std::string& words) {
  const auto found = parts_->users.find(user);
  if (found == parts_->users.end()) return;
  const std::vector<Session*> sessions = found->second.sessions;
  for (Session* const session : sessions) parts_->close(now, *session, code, words);
}
void NodeMachine::leave(Time now) {
  parts_->leave(now, "the node " + parts_->settings.node + " stops: connect to another one");
}
void NodeMachine::tick(Time now) { parts_->tick(now); }
Time NodeMachine::next_deadline() const { return parts_->next_deadline(); }

void NodeMachine::take(NodeActions& into) {
  parts_->links.flush(parts_->last_now);
  into.clear();
  into.swap(parts_->out);
}

NodeStats NodeMachine::stats() const {
  NodeStats stats = parts_->stats;
  stats.sessions = parts_->sessions.size();
  stats.users = parts_->users.size();
  stats.state = parts_->state;
  stats.appends = parts_->appends.size();
  stats.reads = parts_->reads.size();
  stats.reads_waiting = parts_->readers.size();
  stats.cursors_moving = parts_->moves.size();
  parts_->links.fill(stats);
  return stats;
}

bool NodeMachine::idle() const {
  return parts_->sessions.empty() && parts_->appends.size() == 0 && parts_->moves.size() == 0;
}

void NodeMachine::sessions(const std::function<void(const SessionInfo&)>& each) const {
  for (const auto& [id, session] : parts_->sessions) {
    const Inbox& inbox = session->inbox;
    each({id, *session->user->name, session->device, session->since, inbox.epoch(),
          inbox.delivered(), inbox.acknowledged(), inbox.known(), inbox.unacknowledged(),
          inbox.queued()});
  }
}

}  // namespace imctl::router
