// One end of the connection between the host and the process that runs an isolated module: frames
// over a Unix stream socket. Both ends are this class. It knows nothing of calls.
//
// Sending never blocks and copies no large tail: the calling thread writes at once if nobody is at
// it, else whoever writes takes what piled up along, in one system call. What the kernel does not
// take waits here, unbounded: the layer above keeps within the credits it has been given and looks
// at queued_bytes(). One thread of the link's own receives, and writes on when the kernel takes
// more.
#ifndef IMCTL_HOST_LINK_LINK_H
#define IMCTL_HOST_LINK_LINK_H

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <thread>

#include "imctl/status.h"
#include "link/wire.h"
#include "road/buffer.h"

namespace imctl::host {

class Link {
 public:
  // Called on the link's own thread only. Must not block: nothing is received meanwhile.
  class Sink {
   public:
    virtual ~Sink() = default;
    // `head` is valid until it returns. No tail: absent; a tail of size 0: empty. Nothing in a
    // frame is to be believed but that the other end sent it.
    virtual void on_frame(FrameType type, uint64_t id, std::string_view head, BufferRef tail) = 0;
    // The frames that came together were delivered; what was sent meanwhile goes out after this.
    virtual void on_batch_end() {}
    // The last, once the link was started. OK: close() was called. UNAVAILABLE: the other end is
    // gone; every whole frame that it had sent before was delivered. DATA_LOSS: what it sent is no
    // frame. RESOURCE_EXHAUSTED: no memory for a frame, which ends the link since what follows
    // would make no sense without it. Comes before the other end can notice.
    virtual void on_closed(const Status& why) = 0;
  };

  // Takes `fd`, also when it fails: a connected Unix stream socket. `sink` must outlive the link.
  static Result<std::unique_ptr<Link>> make(int fd, std::string name, Sink* sink);
  Link(const Link&) = delete;
  Link& operator=(const Link&) = delete;
  // Closes, and waits for the thread: not from the sink, nor while another thread sends. A sink
  // that uses the link needs a plain pointer beside the owner's: unique_ptr::reset() clears its own
  // before this runs.
  ~Link();

  // Starts the thread, called `name`: from now on the sink is called. Once. Frames may be sent
  // before.
  Status start();

  // [any thread] Never blocks; the frames of one thread arrive in the order in which it sent them.
  // False: not sent, since the link is closed or a part is larger than kMaxFramePart (test it
  // before). True promises no arrival: on_closed tells of the end. Sent from on_frame or
  // on_batch_end, it goes out together with what else the batch sends, within microseconds unless
  // on_frame itself takes long.
  bool send(FrameType type, uint64_t id, std::string_view head, BufferRef tail = {});

  // [any thread] For on_frame before it does something that takes long: what it sent goes out now.
  void flush();

  // [any thread] What was sent and not yet taken by the kernel.
  size_t queued_bytes() const { return queued_.load(std::memory_order_relaxed); }

  // [any thread] No more is sent; what is queued is tried once more without blocking. No frame is
  // delivered after the one that is being delivered, then on_closed. Again: does nothing.
  void close();

 private:
  class Inbox;
  class Outbox;

  Link(int fd, int epoll, std::string name, Sink* sink);
  void run();
  Status loop();
  Status receive_batch();
  Status deliver();
  void write(std::unique_lock<std::mutex>& lock);
  void watch(bool writable);
  void end_writing(std::unique_lock<std::mutex>& lock);

  const int fd_;
  const int epoll_;
  const std::string name_;
  Sink* const sink_;
  std::unique_ptr<Inbox> inbox_;  // the thread's
  std::atomic<size_t> queued_{0};
  std::atomic<bool> stopped_{false};  // by close()

  std::mutex mutex_;
  std::unique_ptr<Outbox> waiting_;  // frames in order, behind those of writing_
  std::unique_ptr<Outbox> writing_;  // the writer's while there is one
  bool writer_ = false;              // a thread is writing, without the lock
  bool full_ = false;                // the link's thread writes on when the kernel takes more
  bool closed_ = false;
  std::thread thread_;
};

}  // namespace imctl::host

#endif  // IMCTL_HOST_LINK_LINK_H
