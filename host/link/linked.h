// A call that goes over a link, seen from one of its ends: messages in both directions within their
// windows. Which end of the local Call is used is for those who derive from it.
#ifndef IMCTL_HOST_LINK_LINKED_H
#define IMCTL_HOST_LINK_LINKED_H

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <memory>
#include <mutex>
#include <string_view>
#include <utility>

#include "imctl/status.h"
#include "link/link.h"
#include "link/wire.h"
#include "road/buffer.h"

namespace imctl::host {

class Linked : public std::enable_shared_from_this<Linked> {
 public:
  // What all calls of a link share.
  struct Shared {
    std::shared_ptr<void> keeper;  // of the rest
    Link* link;
    size_t window;      // of each direction
    size_t held_limit;  // of messages that came and wait, of all calls together
    std::atomic<size_t>* held;
  };

  Linked(Shared shared, uint64_t id) : shared_(std::move(shared)), id_(id) {}
  Linked(const Linked&) = delete;
  Linked& operator=(const Linked&) = delete;
  virtual ~Linked() { shared_.held->fetch_sub(in_bytes_, std::memory_order_relaxed); }

  uint64_t id() const { return id_; }

  // Frames of the other end; on the link's thread. False: that end may not send this.
  bool got_message(BufferRef message);
  bool got_credit(const CreditFrame& frame);
  virtual bool got_writes_done() { return false; }
  virtual bool got_cancel(const CancelFrame& /*frame*/) { return false; }
  virtual bool got_move(const FinishFrame& /*frame*/) { return false; }
  virtual bool got_finish(FinishFrame& /*frame*/, BufferRef&& /*reply*/) { return false; }
  // The link is gone.
  virtual void fail(const Status& status) = 0;

 protected:
  // Asks the local Call for a message if the window has room.
  void read_on();
  // The local Call's answer to that; none: no more will come.
  void local_message(BufferRef message);
  // The local Call's answer to write_local.
  void local_written(bool accepted);
  // True: what came was given to the local Call. False: all_written() will tell.
  bool is_written();

  bool send(FrameType type, std::string_view head = {}, BufferRef tail = {}) {
    return shared_.link->send(type, id_, head, std::move(tail));
  }

  // All without a lock.
  virtual void read_local() = 0;
  virtual void write_local(BufferRef message) = 0;
  virtual void all_written() = 0;
  virtual void local_end() = 0;  // of the messages that are read
  // The call cannot go on.
  virtual void give_up(const Status& status) = 0;

  std::mutex mutex_;

 private:
  const Shared shared_;
  const uint64_t id_;

  // To the other end: what it has not made room for again.
  bool reading_ = false;
  bool read_all_ = false;
  size_t out_bytes_ = 0;
  uint32_t out_count_ = 0;

  // From the other end: what the local Call has not accepted, and room that is not told of yet.
  std::deque<BufferRef> queue_;
  bool writing_ = false;
  size_t writing_cost_ = 0;
  size_t in_bytes_ = 0;
  uint32_t in_count_ = 0;
  CreditFrame room_;
};

}  // namespace imctl::host

#endif  // IMCTL_HOST_LINK_LINKED_H
