// Problem: before a module is taken down, nobody may be in its code or come back to it: no call it
// serves, no call it makes, no buffer that will call its release function. "No calls in flight"
// alone is not enough, since a thread of another module may still be returning through its
// callback.
//
// A Gate counts whoever is inside. Once closed nobody enters by the front; what is inside already
// may still go in again (a call in flight may call others), so that it can come to its end.
#ifndef IMCTL_HOST_CORE_GATE_H
#define IMCTL_HOST_CORE_GATE_H

#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <mutex>

namespace imctl::host {

class Gate {
 public:
  // False when closed.
  bool enter() {
    std::lock_guard lock(mutex_);
    if (closed_) return false;
    ++inside_;
    return true;
  }
  // For those who are inside on another count.
  void enter_again() {
    std::lock_guard lock(mutex_);
    ++inside_;
  }
  void leave() {
    std::lock_guard lock(mutex_);
    if (--inside_ == 0) empty_.notify_all();
  }
  void open() {
    std::lock_guard lock(mutex_);
    closed_ = false;
  }
  void close() {
    std::lock_guard lock(mutex_);
    closed_ = true;
  }
  // True if nobody is inside at last.
  bool wait_empty(std::chrono::steady_clock::time_point until) {
    std::unique_lock lock(mutex_);
    return empty_.wait_until(lock, until, [this] { return inside_ == 0; });
  }
  int64_t inside() const {
    std::lock_guard lock(mutex_);
    return inside_;
  }

 private:
  mutable std::mutex mutex_;
  std::condition_variable empty_;
  int64_t inside_ = 0;
  bool closed_ = true;
};

}  // namespace imctl::host

#endif  // IMCTL_HOST_CORE_GATE_H
