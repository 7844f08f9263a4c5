// Calls over a Link, in both directions; the same at both of its ends.
//
// A call that the other end serves is served here by forward(): its messages are read from the
// local Call and sent, and what comes back is written into it. A call that the other end makes
// becomes a local Call here. Each direction of a stream has a window of bytes: the sender reads
// from its local Call only while the window has room, the receiver makes room once its local Call
// has accepted a message. So a slow reader at one end stops a fast writer at the other.
#ifndef IMCTL_HOST_LINK_BRIDGE_H
#define IMCTL_HOST_LINK_BRIDGE_H

#include <atomic>
#include <cstdint>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "imctl/status.h"
#include "link/link.h"
#include "link/linked.h"
#include "link/wire.h"
#include "road/buffer.h"
#include "road/call.h"

namespace imctl::host {

class Road;

class Bridge final : public Link::Sink, public std::enable_shared_from_this<Bridge> {
 public:
  enum class End { kHost, kModule };

  // What a call that the other end makes is to be.
  struct Admitted {
    CallParams params;  // without request
    CallRef parent;     // kept until the call was started; may be none
    bool reads = true;  // messages may come back
  };

  // What differs between both ends. On the link's thread, unless said otherwise; must not block.
  class Owner {
   public:
    virtual ~Owner() = default;
    virtual Result<Admitted> admit(uint64_t id, StartFrame& frame) = 0;
    // [any] A call that was admitted is over and nothing of it is used any more.
    virtual void over() {}
    // [any] What the other end is told of a call that goes there; method and metadata are filled.
    virtual void describe(const Call& call, StartFrame* frame) = 0;
    // [any] What a stream is told that is to end since its module goes.
    virtual Status leaving() { return {IMCTL_UNAVAILABLE, "the module is being stopped"}; }
    // What belongs to no call.
    virtual void on_frame(FrameType type, uint64_t id, std::string_view head, BufferRef tail) = 0;
    // What the other end sent cannot be: it is not what it should be, or it means harm.
    virtual void on_violation(const std::string& what) = 0;
    // The link is closed, calls are as they were: fail_all() ends them.
    virtual void on_closed(const Status& why) = 0;
  };

  struct Options {
    End end = End::kHost;
    std::string name;           // the module's
    size_t window = 0;          // of a stream's direction
    size_t held = 0;            // of messages of all streams that wait here
    size_t queued = 64u << 20;  // of bytes to be sent, beyond which no call begins
  };
  // Takes `fd`. `owner` and `road` outlive the bridge.
  static Result<std::shared_ptr<Bridge>> make(int fd, Options options, Road* road, Owner* owner);
  // Not on the link's thread, and not while calls go over it: see idle().
  ~Bridge() override;
  Status start() { return link_->start(); }

  // [any] Has the other end serve `call`; takes the callee's part of it. `streams`: its caller may
  // send messages.
  void forward(Call* call, BufferRef request, bool streams);
  // [any] See Link::send.
  bool send(FrameType type, uint64_t id, std::string_view head, BufferRef tail = {}) {
    return link_->send(type, id, head, std::move(tail));
  }
  size_t queued_bytes() const { return link_->queued_bytes(); }
  void close() { link_->close(); }

  // [any] The call of that number which the other end serves, or none.
  CallRef forwarded(uint64_t id);
  // [not the link's thread] Ends all calls and takes no new ones; the link should be closed.
  void fail_all(const Status& status);

  // ---- of Link::Sink
  void on_frame(FrameType type, uint64_t id, std::string_view head, BufferRef tail) override;
  void on_closed(const Status& why) override { owner_->on_closed(why); }

 private:
  class Forwarded;
  class Submitted;

  Bridge(Options options, Road* road, Owner* owner)
      : options_(std::move(options)), road_(road), owner_(owner) {}
  Linked::Shared shared();
  bool is_ours(uint64_t id) const;
  Status add(uint64_t id, const std::shared_ptr<Linked>& linked);
  std::shared_ptr<Linked> find(uint64_t id);
  void remove(uint64_t id);
  void submit(uint64_t id, std::string_view head, BufferRef request);
  void refuse(uint64_t id, const Status& status);

  const Options options_;
  Road* const road_;
  Owner* const owner_;
  std::unique_ptr<Link> link_owner_;
  Link* link_ = nullptr;
  std::atomic<uint64_t> next_{1};
  std::atomic<size_t> held_{0};
  std::mutex mutex_;
  std::unordered_map<uint64_t, std::shared_ptr<Linked>> calls_;
  bool failed_ = false;
  Status failure_;
};

}  // namespace imctl::host

#endif  // IMCTL_HOST_LINK_BRIDGE_H
