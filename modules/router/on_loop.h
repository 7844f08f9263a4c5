// `co_await on_loop(loop)`: goes on on the loop, which it must leave soon.
#ifndef IMCTL_ROUTER_ON_LOOP_H
#define IMCTL_ROUTER_ON_LOOP_H

#include <coroutine>

#include "loop.h"

namespace imctl::router {

inline auto on_loop(Loop* loop) {
  struct Awaiter {
    Loop* loop;
    bool await_ready() const { return false; }
    void await_suspend(std::coroutine_handle<> handle) const {
      loop->post([handle](Time) { handle.resume(); });
    }
    void await_resume() const {}
  };
  return Awaiter{loop};
}

// The same after so many milliseconds. The loop must not stop before.
inline auto pause_on(Loop* loop, Time time) {
  struct Awaiter {
    Loop* loop;
    Time time;
    bool await_ready() const { return false; }
    void await_suspend(std::coroutine_handle<> handle) const {
      loop->post_at(Loop::now() + time, [handle](Time) { handle.resume(); });
    }
    void await_resume() const {}
  };
  return Awaiter{loop, time};
}

}  // namespace imctl::router

#endif  // IMCTL_ROUTER_ON_LOOP_H
