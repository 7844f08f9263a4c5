// Timeline: virtual time, and what happens when. Events of one moment happen in the order in which
// they were planned, so a seed always gives the same run.
#ifndef IMCTL_SIMULATION_TIMELINE_H
#define IMCTL_SIMULATION_TIMELINE_H

#include <algorithm>
#include <cstdint>
#include <functional>
#include <utility>
#include <vector>

#include "router/core/types.h"

namespace imctl::simulation {

using router::Time;

class Timeline {
 public:
  using Event = std::function<void()>;

  Time now() const { return now_; }
  uint64_t events() const { return events_; }

  void at(Time when, Event event) {
    heap_.push_back({std::max(when, now_), ++order_, std::move(event)});
    std::push_heap(heap_.begin(), heap_.end(), later);
  }
  void in(Time after, Event event) { at(now_ + after, std::move(event)); }

  // Lets everything happen up to then.
  void run_until(Time until) {
    while (!heap_.empty() && heap_.front().at <= until) {
      std::pop_heap(heap_.begin(), heap_.end(), later);
      Entry entry = std::move(heap_.back());
      heap_.pop_back();
      now_ = entry.at;
      ++events_;
      entry.event();
    }
    now_ = until;
  }

 private:
  struct Entry {
    Time at = 0;
    uint64_t order = 0;
    Event event;
  };
  static bool later(const Entry& a, const Entry& b) {
    return a.at != b.at ? a.at > b.at : a.order > b.order;
  }

  std::vector<Entry> heap_;
  Time now_ = 0;
  uint64_t order_ = 0;
  uint64_t events_ = 0;
};

}  // namespace imctl::simulation

#endif  // IMCTL_SIMULATION_TIMELINE_H
