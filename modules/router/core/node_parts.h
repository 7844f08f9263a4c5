// What NodeMachine is made of. Only for its own files: node.cc (messages), node_sessions.cc (who is
// here), node_reads.cc (reading the store), node_cursors.cc.
#ifndef IMCTL_ROUTER_CORE_NODE_PARTS_H
#define IMCTL_ROUTER_CORE_NODE_PARTS_H

#include <cstddef>
#include <cstdint>
#include <deque>
#include <list>
#include <memory>
#include <string>
#include <unordered_map>
#include <vector>

#include "inbox.h"
#include "links.h"
#include "node.h"
#include "random.h"
#include "slab.h"
#include "timers.h"

namespace imctl::router {

struct Session;

// A user with a session here.
struct User {
  const std::string* name = nullptr;  // the key
  std::vector<Session*> sessions;
};

struct WaitingSend {
  uint64_t reference = 0;
  std::vector<std::string> recipients;
  Payload payload;
  size_t size = 0;
};

struct Session {
  Session(const Hello& hello, size_t window, size_t max_queued)
      : id(hello.session),
        device(hello.device),
        since(hello.since),
        inbox(hello.session, window, max_queued) {}

  const SessionId id;
  User* user = nullptr;
  const std::string device;
  const WallTime since;
  Inbox inbox;

  // Reading.
  std::unique_ptr<Start> start;  // until it is known where the inbox begins
  uint32_t failures = 0;         // of reads, in a row
  bool waiting = false;          // in line for a read
  bool reading = false;

  // Sending.
  bool paused = false;
  bool in_line = false;  // for all together to have room again
  bool appending = false;
  std::list<WaitingSend> sends;  // that wait for it: what one client sends is stored in its order
  size_t unanswered = 0;         // bytes

  // The cursor. What the client acknowledged is the inbox's to know.
  uint64_t cursor_epoch = 0;
  uint64_t cursor = 0;      // as it stands, or as the call that is under way moves it
  bool has_cursor = false;  // it stands somewhere
  bool moving = false;
  Ticket move = 0;  // that is under way
  uint32_t cursor_failures = 0;

  uint32_t told = 0;  // with which registration services were told of it

  // When what is due; `wake` is the earliest for which there is a timer.
  Time wake = kNever;
  Time retry_at = kNever;
  Time stall_at = kNever;
  Time cursor_at = kNever;
  Time resync_at = kNever;
  Time move_at = kNever;
  Time close_at = kNever;
};

struct NodeMachine::Parts : Registry {
  Parts(NodeSettings given, uint64_t seed);

  // ---- node.cc: messages.
  struct PendingAppend {
    SessionId session = 0;
    uint64_t reference = 0;
    size_t size = 0;
    Payload payload;
  };
  void send(SessionId id, uint64_t reference, std::vector<std::string> recipients, Payload payload,
            size_t size);
  void stored(Time now, Ticket ticket, Stored stored);
  // To sessions here, and through a service to those elsewhere.
  void publish(Time now, const std::vector<Position>& positions, WallTime time,
               const Payload& payload);
  void push_here(Time now, const User& user, uint64_t epoch, uint64_t sequence, WallTime time,
                 const Payload& payload);
  void pushed(Time now, LinkId link, const Push& push);
  void frame(Time now, LinkId link, Frame frame);
  void leave(Time now, const std::string& words);
  void append(Session& session, WaitingSend send);
  void pause(Session& session);
  void resume(Session& session);
  void resume_line();
  void tick(Time now);
  Time next_deadline() const;

  // ---- node_sessions.cc: who is here.
  Session* find(SessionId id) {
    const auto found = sessions.find(id);
    return found == sessions.end() ? nullptr : found->second.get();
  }
  void connect(Time now, const Hello& hello);
  void ack(Time now, SessionId id, uint64_t epoch, uint64_t sequence);
  void written(Time now, SessionId id, size_t size);
  // Tells the client, and forgets the session.
  void close(Time now, Session& session, Code code, std::string words);
  void forget(Time now, Session& session);
  void set_state(Time now, NodeState to, Time until);
  void plan_leaving(Time now, Session& session);
  // After anything that may have changed what it needs: reads, watches for a stall.
  void look_after(Time now, Session& session);
  // There was progress of the client.
  void progress(Time now, Session& session);
  void arm(Session& session, Time at);
  void wake(Time now, Session& session);
  void look_again(Time now, Session& session);

  // ---- node_reads.cc: reading the store.
  void want_read(Session& session);
  // When too much waits for all transports, only who has nothing waiting may.
  bool may_read(const Session& session) const {
    return stats.queued < settings.max_queued_total || session.inbox.queued() == 0;
  }
  void begin_read(Session& session);
  void read_done();
  void read_failed(Time now, Session& session, const Outcome& outcome);
  void page(Time now, Ticket ticket, const Page& page);
  void listed(Time now, Ticket ticket, CursorPage page);
  void begin(Time now, Session& session, CursorPage& page);
  // Devices beyond the bound make room for a new one.
  void bound_devices(const Session& session, std::vector<CursorEntry>& cursors);

  // ---- node_cursors.cc.
  struct Move {
    SessionId session = 0;  // 0: it is gone
    std::string mailbox;
    std::string device;
    uint64_t epoch = 0;
    uint64_t sequence = 0;
    uint32_t failures = 0;
    // What is to be moved to after this, for a session that went meanwhile.
    bool behind = false;
    uint64_t last_epoch = 0;
    uint64_t last_sequence = 0;
  };
  bool cursor_behind(const Session& session) const;
  void move_cursor(Time now, Session& session);
  void last_move(const Session& session);
  void begin_move(Ticket ticket, const Move& move);
  void moved(Time now, Ticket ticket, const Outcome& outcome);
  void retry_moves(Time now);

  // ---- Registry.
  std::vector<SessionId> all() const override;
  bool entry(SessionId id, uint32_t generation, SessionEntry* entry) override;
  size_t count() const override { return sessions.size(); }
  void resync(Time now) override;
  void look(Time now, SessionId id) override;
  void begin_resync(Time now);

  Sink sink() { return {out, stats, settings.max_ahead, settings.max_ahead_total}; }
  Time jitter(Time most) {
    return static_cast<Time>(random.below(static_cast<uint64_t>(most < 1 ? 1 : most)));
  }

  NodeSettings settings;
  Random random;
  NodeActions out;
  NodeStats stats;  // of what is counted as it happens
  Links links;

  NodeState state = NodeState::kActive;
  Time until = kNever;
  bool left = false;
  Time last_now = 0;

  std::unordered_map<SessionId, std::unique_ptr<Session>> sessions;
  std::unordered_map<std::string, User> users;
  Timers timers;  // by session

  Slab<PendingAppend> appends;
  std::deque<SessionId> line;  // for room for sends

  Slab<SessionId> reads;  // pages and lists of cursors
  std::deque<SessionId> readers;

  Slab<Move> moves;
  Timers move_timers;  // by ticket

  Time resync_free_at = 0;  // when the spread of the last one is over
  Time resync_at = kNever;
};

}  // namespace imctl::router

#endif  // IMCTL_ROUTER_CORE_NODE_PARTS_H
