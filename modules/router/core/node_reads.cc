// Reading the store: a bounded number of calls at a time, first come, first served. So the memory
// that many users take who come back at once is that of so many pages.
#include <algorithm>
#include <utility>

#include "backoff.h"
#include "node_parts.h"

namespace imctl::router {

void NodeMachine::Parts::want_read(Session& session) {
  if (session.waiting || session.reading || session.retry_at != kNever) return;
  if (!may_read(session)) return;  // when it has written that, it comes again
  if (reads.size() < settings.max_drains) {
    begin_read(session);
  } else {
    session.waiting = true;
    readers.push_back(session.id);
  }
}

void NodeMachine::Parts::begin_read(Session& session) {
  session.reading = true;
  const Ticket ticket = reads.add(session.id);
  if (session.start != nullptr && !session.device.empty()) {
    out.emplace_back(ListCursors{ticket, *session.user->name});
    return;
  }
  const uint64_t after = session.inbox.reading();
  const uint32_t most =
      stats.queued < settings.max_queued_total ? settings.page : std::min(settings.few, settings.page);
  out.emplace_back(StartRead{ticket, *session.user->name, after, session.inbox.room_for(most)});
}

// The next in line that still needs it.
void NodeMachine::Parts::read_done() {
  while (!readers.empty() && reads.size() < settings.max_drains) {
    Session* const session = find(readers.front());
    readers.pop_front();
    if (session == nullptr) continue;
    session->waiting = false;
    if (!may_read(*session)) continue;
    if (session->start != nullptr || session->inbox.wants_read()) begin_read(*session);
  }
}

void NodeMachine::Parts::read_failed(Time now, Session& session, const Outcome& outcome) {
  session.inbox.look();
  if (!outcome.ok() && !transient(outcome.code)) {
    close(now, session, outcome.code,
          "the mailbox " + *session.user->name + " cannot be read: " + outcome.words);
    return;
  }
  ++session.failures;
  session.retry_at = now + backoff(random, session.failures, settings.retry, settings.retry_most);
  arm(session, session.retry_at);
}

void NodeMachine::Parts::page(Time now, Ticket ticket, const Page& page) {
  SessionId id = 0;
  if (!reads.take(ticket, &id)) return;
  if (Session* const session = find(id)) {
    session->reading = false;
    Sink here = sink();
    if (!page.outcome.ok() || !session->inbox.page(here, page)) {
      read_failed(now, *session, page.outcome);
    } else {
      session->failures = 0;
      session->start.reset();
      move_cursor(now, *session);
      look_after(now, *session);
    }
  }
  read_done();
}

void NodeMachine::Parts::listed(Time now, Ticket ticket, CursorPage page) {
  SessionId id = 0;
  if (!reads.take(ticket, &id)) return;
  Session* const session = find(id);
  if (session != nullptr) {
    session->reading = false;
    if (!page.outcome.ok()) {
      read_failed(now, *session, page.outcome);
    } else {
      session->failures = 0;
      begin(now, *session, page);
    }
  }
  read_done();
}

// Where the session begins, now that the cursors of its mailbox are known.
void NodeMachine::Parts::begin(Time now, Session& session, CursorPage& page) {
  const auto mine = std::find_if(page.cursors.begin(), page.cursors.end(),
                                 [&](const auto& each) { return each.device == session.device; });
  const Start start = *session.start;
  session.start.reset();
  session.cursor_epoch = page.epoch;
  session.has_cursor = mine != page.cursors.end();
  if (session.has_cursor) {
    session.cursor = mine->sequence;
  } else {
    bound_devices(session, page.cursors);
  }
  switch (start.from) {
    case Start::From::kCursor: session.inbox.begin_after(page.epoch, session.cursor); break;
    case Start::From::kAfter: session.inbox.begin_after(start.epoch, start.sequence); break;
    case Start::From::kEnd: session.inbox.begin_at_end(); break;
  }
  if (start.from != Start::From::kEnd) {
    out.emplace_back(Opened{session.id, session.inbox.epoch(), session.inbox.delivered()});
  }
  look_after(now, session);
}

// Those whose cursor moved longest ago go first; who is connected here stays.
void NodeMachine::Parts::bound_devices(const Session& session, std::vector<CursorEntry>& cursors) {
  if (settings.max_devices == 0 || cursors.size() < settings.max_devices) return;
  const auto connected = [&](const CursorEntry& cursor) {
    const auto& here = session.user->sessions;
    return std::any_of(here.begin(), here.end(),
                       [&](const Session* each) { return each->device == cursor.device; });
  };
  std::stable_sort(cursors.begin(), cursors.end(), [&](const auto& a, const auto& b) {
    const bool a_here = connected(a);
    const bool b_here = connected(b);
    return a_here != b_here ? b_here : a.time < b.time;
  });
  const size_t many = cursors.size() + 1 - settings.max_devices;
  for (size_t i = 0; i < many; ++i) {
    out.emplace_back(DropCursor{*session.user->name, std::move(cursors[i].device)});
  }
}

}  // namespace imctl::router
