// Cursors: how far each device has received, which only the client's acknowledgement moves. One
// call a session at a time and one in `cursor_interval`; what is acknowledged meanwhile goes with
// the next one. The last one is made when the session is gone already.
#include <algorithm>
#include <utility>

#include "backoff.h"
#include "node_parts.h"

namespace imctl::router {
namespace {

// Tries for a session that is gone. After that the device gets some messages twice, and knows them.
constexpr uint32_t kLastTries = 6;

}  // namespace

// Also notes a device that has received nothing yet, so that it counts as one.
bool NodeMachine::Parts::cursor_behind(const Session& session) const {
  const Inbox& inbox = session.inbox;
  if (session.device.empty() || session.start != nullptr || !inbox.confirmed()) return false;
  // A mailbox that nobody wrote to has no cursors.
  if (inbox.epoch() == 0) return false;
  return !session.has_cursor || inbox.epoch() != session.cursor_epoch ||
         inbox.acknowledged() > session.cursor;
}

void NodeMachine::Parts::move_cursor(Time now, Session& session) {
  if (session.moving || session.cursor_at != kNever || !cursor_behind(session)) return;
  session.moving = true;
  session.cursor_epoch = session.inbox.epoch();
  session.cursor = session.inbox.acknowledged();
  session.has_cursor = true;
  // The next one not before this.
  session.cursor_at = now + settings.cursor_interval;
  arm(session, session.cursor_at);
  Move move{session.id,           *session.user->name, session.device,
            session.cursor_epoch, session.cursor,      0};
  session.move = moves.add(move);
  begin_move(session.move, move);
}

void NodeMachine::Parts::begin_move(Ticket ticket, const Move& move) {
  out.emplace_back(MoveCursor{ticket, move.mailbox, move.device, move.epoch, move.sequence});
}

void NodeMachine::Parts::last_move(const Session& session) {
  const bool behind = cursor_behind(session);
  const uint64_t last = session.inbox.acknowledged();
  Move* const under_way = session.moving ? moves.find(session.move) : nullptr;
  if (under_way != nullptr) {
    under_way->session = 0;
    under_way->behind = behind;
    under_way->last_epoch = session.inbox.epoch();
    under_way->last_sequence = last;
  } else if (behind) {
    const Move move{0, *session.user->name, session.device, session.inbox.epoch(), last};
    const Ticket ticket = moves.add(move);
    begin_move(ticket, move);
  }
}

void NodeMachine::Parts::moved(Time now, Ticket ticket, const Outcome& outcome) {
  Move move;
  if (!moves.take(ticket, &move)) return;
  const bool again = !outcome.ok() && transient(outcome.code);
  if (Session* const session = move.session == 0 ? nullptr : find(move.session)) {
    session->moving = false;
    session->cursor_failures = again ? session->cursor_failures + 1 : 0;
    if (again) {
      // Behind again: the next one takes all that was acknowledged.
      session->has_cursor = false;
      session->cursor_at =
          now + backoff(random, session->cursor_failures,
                        std::max(settings.retry, settings.cursor_interval), settings.retry_most);
      arm(*session, session->cursor_at);
    }
    return move_cursor(now, *session);
  }
  if (again && ++move.failures > kLastTries) return;
  if (!again && !move.behind) return;
  if (move.behind) {
    move.epoch = move.last_epoch;
    move.sequence = move.last_sequence;
    move.behind = false;
  }
  const uint32_t failures = move.failures;
  const Ticket next = moves.add(std::move(move));
  if (again) {
    move_timers.add(now + backoff(random, failures, settings.retry, settings.retry_most), next);
  } else {
    begin_move(next, *moves.find(next));
  }
}

void NodeMachine::Parts::retry_moves(Time now) {
  Timers::Entry due;
  while (move_timers.due(now, &due)) {
    if (const Move* const move = moves.find(due.key)) begin_move(due.key, *move);
  }
}

}  // namespace imctl::router
