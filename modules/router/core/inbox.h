// Inbox: the one way by which messages get to a session, each once and in order.
//
// Two sources bring them: pushes, which are hints and may be late, lost, doubled or out of order,
// and pages read from the store, which is right. Both end in the same place: what has the next
// number goes out if the windows have room; what is older was delivered before; what is newer only
// says how far the mailbox goes, and the gap is read from the store. A few newer ones are put aside
// meanwhile (`ahead`), so that a session whose mailbox fills quickly gets back from reading to live
// pushes.
//
// A number means something only with its epoch. A larger epoch in a push is a reason to read, and
// the page that shows it begins the session anew (Reset).
#ifndef IMCTL_ROUTER_CORE_INBOX_H
#define IMCTL_ROUTER_CORE_INBOX_H

#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <vector>

#include "node.h"

namespace imctl::router {

// Where an inbox puts what it delivers, and the bounds that all share.
struct Sink {
  NodeActions& out;
  NodeStats& stats;
  size_t max_ahead;
  size_t max_ahead_total;
};

class Inbox {
 public:
  Inbox(SessionId session, size_t window, size_t max_queued)
      : session_(session), window_(window), max_queued_(max_queued) {}

  // ---- where it begins. Nothing is delivered before.
  // After (epoch, sequence); epoch 0: the mailbox's, whichever that is. The numbers are the
  // client's word until a page confirms them.
  void begin_after(uint64_t epoch, uint64_t sequence);
  // After what the mailbox ends with now, which the first page says.
  void begin_at_end() { at_end_ = look_ = true; }
  bool begun() const { return begun_; }

  // ---- what comes.
  void push(Sink& sink, uint64_t epoch, uint64_t sequence, WallTime time, const Payload& payload);
  // A read was begun: which message it is to begin after.
  uint64_t reading();
  // And is answered, well. False: it makes no sense, nothing was delivered of it, try again later.
  bool page(Sink& sink, const Page& page);
  // There may be more than is known.
  void look() { look_ = true; }
  // False: a number that was never delivered.
  bool ack(Sink& sink, uint64_t epoch, uint64_t sequence);
  void written(Sink& sink, size_t size);
  // Gives back what is put aside.
  void clear(Sink& sink);

  // ---- what it needs.
  bool behind() const { return look_ || known_ >= next_; }
  bool room() const { return fits(need_); }
  bool wants_read() const { return behind() && room(); }
  // Something waits for the client, not for the store.
  bool blocked() const { return known_ >= next_ && !room(); }
  // About how many messages there is room for.
  uint32_t room_for(uint32_t most) const;

  // ---- how it stands.
  uint64_t epoch() const { return epoch_; }
  uint64_t delivered() const { return next_ - 1; }
  uint64_t acknowledged() const { return acked_; }
  // Whether the store has confirmed that there is what the client says it has.
  bool confirmed() const { return confirmed_; }
  uint64_t known() const { return known_; }
  size_t unacknowledged() const { return unacked_; }
  size_t queued() const { return queued_; }

 private:
  struct Aside {
    WallTime time = 0;
    Payload payload;
  };

  bool fits(size_t size) const {
    return (unacked_ == 0 || unacked_ + size <= window_) &&
           (queued_ == 0 || queued_ + size <= max_queued_);
  }
  // Delivers the next one, if there is room.
  bool deliver(Sink& sink, WallTime time, const Payload& payload);
  void put_aside(Sink& sink, uint64_t sequence, WallTime time, const Payload& payload);
  // Delivers of what is put aside all that is next.
  void drain_ahead(Sink& sink);
  // What comes next is `first` of `epoch`.
  void jump(Sink& sink, uint64_t epoch, uint64_t first);
  bool confirm(Sink& sink, const Page& page);
  void forget_unacknowledged();

  const SessionId session_;
  const size_t window_;
  const size_t max_queued_;
  uint64_t epoch_ = 0;
  uint64_t next_ = 1;
  uint64_t known_ = 0;  // the mailbox goes up to here, at least
  uint64_t acked_ = 0;
  uint64_t read_epoch_ = 0;  // as they were when the read began
  uint64_t read_known_ = 0;
  size_t unacked_ = 0;  // bytes
  size_t queued_ = 0;   // bytes
  size_t need_ = 0;     // bytes of the next message, if it is known and did not fit
  // Sizes of what is not acknowledged, the first that of `base_`.
  std::vector<uint32_t> sizes_;
  size_t head_ = 0;
  uint64_t base_ = 1;
  std::unique_ptr<std::map<uint64_t, Aside>> ahead_;
  uint32_t ahead_bytes_ = 0;
  uint32_t average_ = 512;  // bytes of a message, lately
  bool begun_ = false;
  bool at_end_ = false;
  bool confirmed_ = false;
  bool look_ = false;
};

}  // namespace imctl::router

#endif  // IMCTL_ROUTER_CORE_INBOX_H
