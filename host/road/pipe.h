// One direction of a stream: one writer, one reader, and a window of bytes between them. A message
// that does not fit in waits, one at a time, and its writer with it.
//
// The lock is the call's. `instance` is the module that serves the call and bounds what waits in
// all its streams; nullptr as long as the call waits for it, when no message is let in.
#ifndef IMCTL_HOST_ROAD_PIPE_H
#define IMCTL_HOST_ROAD_PIPE_H

#include <cstddef>
#include <deque>
#include <optional>

#include "road/buffer.h"

namespace imctl::host {

class Instance;

class Pipe {
 public:
  // What `message` counts for: empty ones take room too.
  static size_t cost(const BufferRef& message) { return message.size() + kHead; }

  // The answer is there now or when the reader has made room.
  void write(BufferRef message, Instance* instance);
  // The call has its instance now.
  void admit(Instance* instance);
  // A message for the reader, or that there will be none.
  bool readable() const { return !queue_.empty() || closed_; }
  bool empty() const { return queue_.empty(); }
  // If it is readable. None: it is closed and was read to its end.
  BufferRef read(Instance* instance);
  // No more messages. What is there can still be read.
  void close() { closed_ = true; }
  bool closed() const { return closed_; }
  // Nor will anybody read.
  void drop(Instance* instance);

  bool read_wanted = false;
  std::optional<bool> write_answer;  // to be told: was it accepted?

 private:
  static constexpr size_t kHead = 64;

  bool fits(const BufferRef& message, const Instance* instance) const;
  void accept_or_keep(BufferRef message, Instance* instance);

  std::deque<BufferRef> queue_;
  size_t bytes_ = 0;
  BufferRef waiting_;  // written, not yet within the window
  bool closed_ = false;
};

}  // namespace imctl::host

#endif  // IMCTL_HOST_ROAD_PIPE_H
