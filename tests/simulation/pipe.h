// Pipe: a connection between two ends, as TCP is: in order each way, or broken. What is on the way
// when it breaks is lost. A way that is blocked (a partition, possibly of one direction) holds what
// is sent until it is free again.
#ifndef IMCTL_SIMULATION_PIPE_H
#define IMCTL_SIMULATION_PIPE_H

#include <array>
#include <deque>
#include <functional>
#include <memory>
#include <utility>

#include "router/core/random.h"
#include "timeline.h"

namespace imctl::simulation {

using router::Random;

class Pipe : public std::enable_shared_from_this<Pipe> {
 public:
  using Event = std::function<void()>;
  // `blocked`: whether a way is, now.
  Pipe(Timeline& timeline, Random& random, Time slowest, std::function<bool(int)> blocked)
      : timeline_(timeline), random_(random), slowest_(slowest), blocked_(std::move(blocked)) {}

  // To happen at the other end.
  void send(int way, Event event) {
    if (broken_) return;
    Time& last = last_.at(static_cast<size_t>(way));
    last = std::max(last, timeline_.now() + 1 +
                              static_cast<Time>(random_.below(static_cast<uint64_t>(slowest_))));
    timeline_.at(last, [self = shared_from_this(), way, event = std::move(event)]() mutable {
      self->arrive(way, std::move(event));
    });
  }
  void flow(int way) {
    auto& held = held_.at(static_cast<size_t>(way));
    while (!held.empty() && !broken_ && !blocked_(way)) {
      Event event = std::move(held.front());
      held.pop_front();
      event();
    }
  }
  void break_off() {
    broken_ = true;
    for (auto& held : held_) held.clear();
  }
  bool broken() const { return broken_; }

 private:
  void arrive(int way, Event event) {
    if (broken_) return;
    auto& held = held_.at(static_cast<size_t>(way));
    if (!held.empty() || blocked_(way)) {
      held.push_back(std::move(event));
    } else {
      event();
    }
  }

  Timeline& timeline_;
  Random& random_;
  const Time slowest_;
  const std::function<bool(int)> blocked_;
  std::array<Time, 2> last_{};
  std::array<std::deque<Event>, 2> held_;
  bool broken_ = false;
};

}  // namespace imctl::simulation

#endif  // IMCTL_SIMULATION_PIPE_H
