// `co_await callback<T>(start)`: `start` is given a function that takes the answer, from any
// thread, once.
#ifndef IMCTL_ROUTER_CALLBACK_H
#define IMCTL_ROUTER_CALLBACK_H

#include <atomic>
#include <coroutine>
#include <functional>
#include <memory>
#include <optional>
#include <utility>

namespace imctl::router {

template <class T>
auto callback(std::function<void(std::function<void(T)>)> start) {
  struct State {
    std::optional<T> value;
    std::coroutine_handle<> awaiter;
    std::atomic<bool> met{false};  // of start's return and the answer, the second goes on
  };
  struct Awaiter {
    std::function<void(std::function<void(T)>)> start;
    std::shared_ptr<State> state = std::make_shared<State>();
    bool await_ready() const { return false; }
    bool await_suspend(std::coroutine_handle<> handle) {
      std::shared_ptr<State> held = state;
      held->awaiter = handle;
      start([held](T value) {
        held->value.emplace(std::move(value));
        if (held->met.exchange(true, std::memory_order_acq_rel)) held->awaiter.resume();
      });
      return !held->met.exchange(true, std::memory_order_acq_rel);
    }
    T await_resume() { return std::move(*state->value); }
  };
  return Awaiter{std::move(start)};
}

}  // namespace imctl::router

#endif  // IMCTL_ROUTER_CALLBACK_H
