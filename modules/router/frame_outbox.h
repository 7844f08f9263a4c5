// FrameOutbox: collects what one turn has to say on a link, so that it goes as one message.
#ifndef IMCTL_ROUTER_FRAME_OUTBOX_H
#define IMCTL_ROUTER_FRAME_OUTBOX_H

#include <cstddef>
#include <utility>
#include <vector>

#include "router/core/frames.h"
#include "stream.h"

namespace imctl::router {

// Of the loop. To be flushed at the end of each turn, and before the stream is ended.
class FrameOutbox {
 public:
  using Serialize = Buffer (*)(const Host& host, const std::vector<Frame>& frames);
  FrameOutbox(Stream* stream, Serialize serialize) : stream_(stream), serialize_(serialize) {}

  // Whether it is to be flushed now, and was not before.
  bool add(Frame frame, size_t size) {
    const bool first = frames_.empty();
    frames_.push_back(std::move(frame));
    size_ += size;
    if (size_ < kEnough) return first;
    flush();
    return false;
  }
  void flush() {
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
};

}  // namespace imctl::router

#endif  // IMCTL_ROUTER_FRAME_OUTBOX_H
