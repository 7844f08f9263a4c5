#include "road/gate.h"

#include "road/call.h"

namespace imctl::host {

Gate::Entry Gate::enter(Call* call, size_t bytes, bool descends) {
  std::lock_guard lock(mutex_);
  if (state_ == State::kOpen || (descends && !sealed_)) {
    ++inside_;
    return Entry::kInside;
  }
  if (state_ == State::kClosed) return Entry::kClosed;
  if (held_bytes_ + bytes > hold_bytes_) return Entry::kFull;
  held_bytes_ += bytes;
  call->ref();
  held_.emplace_back(call);
  return Entry::kHeld;
}

std::vector<CallRef> Gate::change(State state) {
  std::lock_guard lock(mutex_);
  state_ = state;
  // Closing what holds and was drained keeps it sealed; what is open still has its descendants.
  if (state == State::kOpen) sealed_ = false;
  held_bytes_ = 0;
  return std::exchange(held_, {});
}

}  // namespace imctl::host
