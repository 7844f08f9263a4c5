// FrameOutbox: collects what there is to say on a link, so that it goes as one message: what one turn
// says, and under load what is said within a millisecond. A frame that comes alone goes at once.
#ifndef IMCTL_ROUTER_FRAME_OUTBOX_H
#define IMCTL_ROUTER_FRAME_OUTBOX_H

#include <cstddef>
#include <utility>
#include <vector>

#include "router/core/frames.h"
#include "stream.h"

namespace imctl::router {

// Of the loop. To be flushed at the end of each turn as long as it is not empty, and to be emptied
// before the stream is ended.
class FrameOutbox {
 public:
  using Serialize = Buffer (*)(const Host& host, const std::vector<Frame>& frames);
  FrameOutbox(Stream* stream, Serialize serialize) : stream_(stream), serialize_(serialize) {}

  // Whether it is to be flushed now, and perhaps was not before.
  bool add(Frame frame, size_t size) {
    const bool first = frames_.empty();
    frames_.push_back(std::move(frame));
    size_ += size;
    if (size_ >= kEnough) empty();
    return first;
  }
  // False: not in this millisecond.
  bool flush(Time now) {
    if (frames_.empty()) return true;
    if (now == flushed_at_) return false;
    flushed_at_ = now;
    empty();
    return true;
  }
  void empty() {
    if (frames_.empty()) return;
    stream_->write(serialize_(stream_->host(), frames_), std::exchange(size_, 0));
    frames_.clear();
  }

 private:
  // As large a message costs little more than its bytes.
  static constexpr size_t kEnough = 64 << 10;

  Stream* const stream_;
  const Serialize serialize_;
  std::vector<Frame> frames_;
  size_t size_ = 0;  // as written() gives it back
  Time flushed_at_ = kNever;
};

}  // namespace imctl::router

#endif  // IMCTL_ROUTER_FRAME_OUTBOX_H
