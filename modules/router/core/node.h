// NodeMachine: what an IM node decides, as events in and actions out. See types.h for the rules.
//
//   event                        what the caller tells             may lead to
//   connect(hello)               a client's stream is open         ListCursors, StartRead, Opened
//   gone(session)                it ended, whoever ended it        MoveCursor
//   send(session, ...)           a message of the client           Append, PauseSends, Rejected
//   stored(ticket, ...)          answers Append                    Sent, Rejected, Deliver
//   publish(positions, ...)      it was stored by other ways       Deliver
//   ack(session, epoch, number)  the client has all up to here     MoveCursor, Deliver, StartRead
//   written(session, size)       the transport took so much        Deliver, StartRead
//   page(ticket, ...)            answers StartRead                 Opened, Reset, Deliver
//   cursors(ticket, ...)         answers ListCursors               Opened, DropCursor, StartRead
//   moved(ticket, ...)           answers MoveCursor                MoveCursor
//   link_up(link)                a stream to a service is open     SendFrame
//   link_down(link)              it ended, whoever ended it        SendFrame
//   link_written(link, size)     the transport took so much        SendFrame
//   frame(link, frame)           the service said this             Deliver, StartRead, DropLink
//   state(state, until)          cordon, drain, uncordon           Moving
//   close_session, close_user    from outside                      Close
//   leave()                      the node stops                    Close
//   tick()                       next_deadline() has come          anything
//
// Close, SendFrame and DropLink may follow from most of them. After each event, or after several,
// the caller takes the actions and carries them out in order:
//
//   NodeActions actions;
//   machine.send(now, session, reference, recipients, payload, payload->size());
//   machine.take(actions);
//   for (NodeAction& action : actions) std::visit(shell, action);
//   arm_timer(machine.next_deadline());
//
// Rules
// - Close ends a session for the machine: the caller closes the stream with the code and the words.
//   gone() for it is then allowed and does nothing. Events for sessions that are not open any more
//   do nothing, so nobody has to take care who is first. DropLink and link_down() likewise.
// - What is asked of the storage is answered exactly once a ticket, also after the session is gone.
// - A message is answered with Sent after it is durable, and pushed after that.
// - All that a session holds is bounded in bytes by NodeSettings; see there.
// - No event but state(), leave(), close_user(), and those that make all sessions look at their
//   mailboxes (a link that ended, Resync, the end of a registration) looks at more than the
//   sessions that it concerns.
// - When stats().superseded is true a later start of the same node has taken over: nothing more
// will be
//   accepted, do not dial again.
#ifndef IMCTL_ROUTER_CORE_NODE_H
#define IMCTL_ROUTER_CORE_NODE_H

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <variant>
#include <vector>

#include "frames.h"
#include "types.h"

namespace imctl::router {

struct NodeSettings {
  std::string node;
  uint64_t boot = 0;
  std::string address;
  std::string version;
  // Cluster Management Services are configured: links are coming. Without, the node is alone.
  bool clustered = false;

  // Bytes a session: delivered and not acknowledged (the client may ask for less), waiting for the
  // transport, and sends without an answer (beyond: PauseSends). One message always passes.
  size_t window = 1 << 20;
  size_t max_queued = 256 << 10;
  // Bytes that wait for the transport, all sessions together. Beyond, a session reads the store only when it has
  // nothing waiting, and `few` messages at a time: so nobody starves, and the memory stays that plus a few
  // messages a session.
  size_t max_queued_total = 64 << 20;
  uint32_t few = 25;
  size_t max_unanswered = 1 << 20;
  // Bytes of sends without an answer, all sessions together: beyond, whoever sends is paused.
  size_t max_unanswered_total = 64 << 20;
  // Bytes of pushes that wait for a gap before them to be read, one session and all together.
  // Beyond, they are read from the store.
  size_t max_ahead = 64 << 10;
  size_t max_ahead_total = 16 << 20;
  // Bytes in the queue to a service: beyond, pushes are dropped.
  size_t max_link_queue = 8 << 20;
  // Larger messages are pushed to services as hints.
  size_t max_push = 64 << 10;

  // Calls of the storage that read, at a time; others wait in line. Entries a page.
  size_t max_drains = 64;
  uint32_t page = 100;
  // Devices with a cursor a mailbox; 0: any number.
  size_t max_devices = 16;

  Time stall_timeout = 5000;     // no progress of a client that something waits for: it is cut
  Time cursor_interval = 1000;   // a cursor is moved at most this often
  Time resync_interval = 60000;  // how often each session looks at its mailbox, whatever happened
  // Over which a resync of all sessions is spread, and how many sessions a second at most: after a
  // failure the storage of a large cluster must not be read by everybody at once.
  Time resync_spread = 5000;
  uint32_t resync_rate = 1000;
  // After a service knows of a session, it looks again: other services know of it by then.
  Time settle = 2000;
  Time register_spread =
      2000;                  // within which sessions are registered elsewhere when the home is lost
  Time home_settle = 10000;  // how long a better home must have been there before the node moves
  Time retry = 1000;         // first pause after an error of the storage; doubles, with full jitter
  Time retry_most = 30000;
};

// Where a client wants to begin.
struct Start {
  enum class From : uint8_t {
    kCursor,  // after its device's cursor; from the first message that is left, if it has none
    kAfter,   // after (epoch, sequence), which it has: counts as acknowledged
    kEnd,     // what comes from now on
  };
  From from = From::kCursor;
  uint64_t epoch = 0;  // 0: whichever the mailbox has now
  uint64_t sequence = 0;
};

struct Hello {
  SessionId session = 0;
  std::string user;    // user@domain, the mailbox
  std::string device;  // empty: a session without a cursor
  Start start;
  size_t window = 0;   // 0: as the node's
  WallTime since = 0;  // now, for people
};

// ---- answers of the storage (imctl.storage.v1.Mailboxes)

struct Stored {
  Outcome outcome;
  WallTime time = 0;
  bool duplicate = false;  // it was stored before; the positions are the first one's
  std::vector<Position> positions;
};

struct PageEntry {
  uint64_t sequence = 0;
  WallTime time = 0;
  Payload payload;
};

// All of ReadResponse. `epoch` 0: nobody ever wrote to it.
struct Page {
  Outcome outcome;
  uint64_t epoch = 0;
  uint64_t first = 0;
  uint64_t last = 0;
  std::vector<PageEntry> entries;
};

struct CursorEntry {
  std::string device;
  uint64_t sequence = 0;
  WallTime time = 0;  // when it last moved
};

struct CursorPage {
  Outcome outcome;
  uint64_t epoch = 0;
  std::vector<CursorEntry> cursors;
};

// ---- actions

// Mailboxes/Append, once or again until there is an answer; `stored` answers.
struct Append {
  Ticket ticket = 0;
  std::vector<std::string> recipients;
  Payload payload;
};
// Mailboxes/Read without an epoch; `page` answers. No more entries than `limit` are of use.
struct StartRead {
  Ticket ticket = 0;
  std::string mailbox;
  uint64_t after = 0;
  uint32_t limit = 0;
};
// Mailboxes/Cursors; `cursors` answers.
struct ListCursors {
  Ticket ticket = 0;
  std::string mailbox;
};
// Mailboxes/Ack; `moved` answers.
struct MoveCursor {
  Ticket ticket = 0;
  std::string mailbox;
  std::string device;
  uint64_t epoch = 0;  // 0: any
  uint64_t sequence = 0;
};
// Mailboxes/DeleteCursor. Not answered.
struct DropCursor {
  std::string mailbox;
  std::string device;
};

// The session stands: what comes is after (epoch, sequence). Before anything else for it but Close.
// Epoch 0: nobody wrote to the mailbox yet, or (with Start::kCursor) it is not known yet.
struct Opened {
  SessionId session = 0;
  uint64_t epoch = 0;
  uint64_t sequence = 0;
};
// A message. `size`: what counts against the windows and is given back with written().
struct Deliver {
  SessionId session = 0;
  uint64_t epoch = 0;
  uint64_t sequence = 0;
  WallTime time = 0;
  Payload payload;
  size_t size = 0;
};
// What comes next has the number `first` of `epoch`: the mailbox began anew, or what was before
// expired.
struct Reset {
  SessionId session = 0;
  uint64_t epoch = 0;
  uint64_t first = 0;
};
struct Sent {
  SessionId session = 0;
  uint64_t reference = 0;
  WallTime time = 0;
  bool duplicate = false;
  std::vector<Position> positions;
};
// It was not stored, as far as is known.
struct Rejected {
  SessionId session = 0;
  uint64_t reference = 0;
  Outcome outcome;
};
// Read no more of the client's stream, until ResumeSends. What was read already may be told still.
struct PauseSends {
  SessionId session = 0;
};
struct ResumeSends {
  SessionId session = 0;
};
// Tell the client to connect to another node, by then.
struct Moving {
  SessionId session = 0;
  Time within = 0;  // milliseconds from now until it is closed
};
// End the stream with this, after all that was delivered before. Nothing follows for the session.
struct Close {
  SessionId session = 0;
  Outcome outcome;
};

struct SendFrame {
  LinkId link = 0;
  Frame frame;
  size_t size = 0;  // bytes_of(frame): what is given back with link_written()
};
// End the stream; nothing follows for the link. Whoever dialled may dial again, after a while.
struct DropLink {
  LinkId link = 0;
  Outcome outcome;
};

using NodeAction =
    std::variant<Append, StartRead, ListCursors, MoveCursor, DropCursor, Opened, Deliver, Reset,
                 Sent, Rejected, PauseSends, ResumeSends, Moving, Close, SendFrame, DropLink>;
using NodeActions = std::vector<NodeAction>;

// ---- what people see

struct NodeStats {
  uint64_t sessions = 0;
  uint64_t users = 0;
  uint64_t links = 0;   // that are joined
  std::string home;     // service that the sessions are registered with, if any
  uint64_t others = 0;  // other nodes, as far as services say
  NodeState state = NodeState::kActive;
  bool superseded = false;  // a later start of this node has joined a service: this one may stop
  // Now.
  uint64_t unanswered = 0;  // bytes of sends
  uint64_t appends = 0;     // calls
  uint64_t reads = 0;       // calls, and sessions that wait for one
  uint64_t reads_waiting = 0;
  uint64_t ahead = 0;   // bytes
  uint64_t queued = 0;  // bytes that wait for the transport
  uint64_t cursors_moving = 0;
  // Since the start.
  uint64_t accepted = 0;  // messages that were stored for clients here
  uint64_t rejected = 0;
  uint64_t delivered = 0;
  uint64_t delivered_live = 0;  // of them without reading the store
  uint64_t acknowledged = 0;
  uint64_t pushes_out = 0;
  uint64_t pushes_in = 0;
  uint64_t pushes_dropped = 0;
  uint64_t nacks = 0;
  uint64_t cut = 0;      // sessions that made no progress
  uint64_t resyncs = 0;  // of all sessions
};

struct SessionInfo {
  SessionId session = 0;
  std::string user;
  std::string device;
  WallTime since = 0;
  uint64_t epoch = 0;
  uint64_t delivered = 0;  // number of the last message
  uint64_t acknowledged = 0;
  uint64_t last = 0;            // of the mailbox, as far as is known
  uint64_t unacknowledged = 0;  // bytes
  uint64_t queued = 0;          // bytes
};

class NodeMachine {
 public:
  // `seed`: of the generator of jitter.
  NodeMachine(NodeSettings settings, uint64_t seed);
  ~NodeMachine();
  NodeMachine(const NodeMachine&) = delete;
  NodeMachine& operator=(const NodeMachine&) = delete;

  // ---- clients. The session is new, its number larger than all before; a second one of the same
  // user and (named) device replaces the first.
  void connect(Time now, const Hello& hello);
  void gone(Time now, SessionId session);
  // `reference`: the client's, comes back with Sent or Rejected. `recipients`: mailboxes, no
  // duplicates. `size`: what it counts as, usually the payload's.
  void send(Time now, SessionId session, uint64_t reference, std::vector<std::string> recipients,
            Payload payload, size_t size);
  void ack(Time now, SessionId session, uint64_t epoch, uint64_t sequence);
  // Of the sizes of Deliver, several together if you like.
  void written(Time now, SessionId session, size_t size);

  // ---- the storage.
  void stored(Time now, Ticket ticket, Stored stored);
  void page(Time now, Ticket ticket, const Page& page);
  void cursors(Time now, Ticket ticket, CursorPage cursors);
  void moved(Time now, Ticket ticket, const Outcome& outcome);

  // A message that was stored by other ways than send() (a verb, another module): pushed like
  // those.
  void publish(Time now, const std::vector<Position>& positions, WallTime time,
               const Payload& payload);

  // ---- services.
  void link_up(Time now, LinkId link);
  void link_down(Time now, LinkId link);
  void link_written(Time now, LinkId link, size_t size);
  void frame(Time now, LinkId link, Frame frame);

  // ---- from outside.
  // kDraining: `until` is the deadline; sessions are told to move at random times before half of it
  // is over.
  void state(Time now, NodeState state, Time until);
  void close_session(Time now, SessionId session, Code code, std::string words);
  // All sessions of user@domain.
  void close_user(Time now, const std::string& user, Code code, const std::string& words);
  // Says goodbye to the services and closes all sessions; cursors are moved still.
  void leave(Time now);

  void tick(Time now);
  // When tick() is due; kNever: nothing is.
  Time next_deadline() const;

  // Swaps the actions since the last take into `into`, which is cleared first: its memory is used
  // again.
  void take(NodeActions& into);

  // ---- for people.
  NodeStats stats() const;
  // Nothing is on the way: no session, no message that is being stored, no cursor that is being
  // moved.
  bool idle() const;
  void sessions(const std::function<void(const SessionInfo&)>& each) const;

 private:
  struct Parts;
  std::unique_ptr<Parts> parts_;
};

}  // namespace imctl::router

#endif  // IMCTL_ROUTER_CORE_NODE_H
