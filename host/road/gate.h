// Problem: before a module is taken down, nobody may be in its code or come back to it: no call it
// serves, no call it makes, no buffer that will call its release function. "No calls in flight"
// alone is not enough, since a thread of another module may still be returning through its
// callback. And while it is replaced, calls that come should wait rather than fail.
//
// A Gate counts whoever is inside. Once it holds or is closed nobody enters by the front; what is
// inside already may still go in again (a call in flight may call others), and so may what
// descends from it, so that it can come to its end.
#ifndef IMCTL_HOST_ROAD_GATE_H
#define IMCTL_HOST_ROAD_GATE_H

#include <chrono>
#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <mutex>
#include <utility>
#include <vector>

#include "road/call_ref.h"

namespace imctl::host {

class Gate {
 public:
  enum class Entry { kInside, kHeld, kFull, kClosed };

  // A call comes by the front. `descends`: from one that was inside, which may be gone by now.
  // Held: the gate has a reference of the call until open() or close() gives it back.
  Entry enter(Call* call, size_t bytes, bool descends);
  // For those who are inside on another count.
  void enter_again() {
    std::lock_guard lock(mutex_);
    ++inside_;
  }
  void leave() {
    std::lock_guard lock(mutex_);
    if (--inside_ == 0) empty_.notify_all();
  }

  // From now on newcomers wait, up to that many bytes of them; more are turned away.
  void hold(size_t bytes) {
    std::lock_guard lock(mutex_);
    state_ = State::kHolding;
    sealed_ = false;
    hold_bytes_ = bytes;
  }
  // Both give those who waited, in the order in which they came; the caller dispatches them again.
  std::vector<CallRef> open() { return change(State::kOpen); }
  std::vector<CallRef> close() { return change(State::kClosed); }

  // True if nobody is inside at last; then a gate that is not open lets no descendants in either.
  bool wait_empty(std::chrono::steady_clock::time_point until) {
    std::unique_lock lock(mutex_);
    if (!empty_.wait_until(lock, until, [this] { return inside_ == 0; })) return false;
    sealed_ = state_ != State::kOpen;
    return true;
  }
  int64_t inside() const {
    std::lock_guard lock(mutex_);
    return inside_;
  }

 private:
  enum class State { kClosed, kOpen, kHolding };
  std::vector<CallRef> change(State state);

  mutable std::mutex mutex_;
  std::condition_variable empty_;
  State state_ = State::kClosed;
  bool sealed_ = true;
  int64_t inside_ = 0;
  std::vector<CallRef> held_;
  size_t held_bytes_ = 0;
  size_t hold_bytes_ = 0;
};

}  // namespace imctl::host

#endif  // IMCTL_HOST_ROAD_GATE_H
