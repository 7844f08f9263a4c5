// Event: something happened; one coroutine may wait for it. Set before the wait, the wait does not
// wait.
#ifndef IMCTL_EVENT_H
#define IMCTL_EVENT_H

#include <coroutine>
#include <mutex>
#include <utility>

namespace imctl {

class Event {
 public:
  // From any thread. Resumes the waiting coroutine on this one.
  void set() {
    std::coroutine_handle<> waiter;
    {
      std::lock_guard lock(mutex_);
      waiter = std::exchange(waiter_, nullptr);
      set_ = waiter == nullptr;
    }
    if (waiter) waiter.resume();
  }

  auto operator co_await() {
    struct Awaiter {
      Event* event;
      bool await_ready() const noexcept { return false; }
      bool await_suspend(std::coroutine_handle<> handle) const {
        std::lock_guard lock(event->mutex_);
        if (std::exchange(event->set_, false)) return false;
        event->waiter_ = handle;
        return true;
      }
      void await_resume() const noexcept {}
    };
    return Awaiter{this};
  }

 private:
  std::mutex mutex_;
  std::coroutine_handle<> waiter_;
  bool set_ = false;
};

}  // namespace imctl

#endif  // IMCTL_EVENT_H
