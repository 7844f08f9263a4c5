// Timers: what is due when, by key. Nothing is ever taken out: whoever arms a timer keeps the time
// for which it counts, and lets the others that come due pass.
#ifndef IMCTL_ROUTER_CORE_TIMERS_H
#define IMCTL_ROUTER_CORE_TIMERS_H

#include <algorithm>
#include <cstdint>
#include <vector>

#include "types.h"

namespace imctl::router {

class Timers {
 public:
  struct Entry {
    Time at = 0;
    uint64_t key = 0;
  };

  void add(Time at, uint64_t key) {
    heap_.push_back({at, key});
    std::push_heap(heap_.begin(), heap_.end(), later);
  }
  // The earliest, if it is due.
  bool due(Time now, Entry* entry) {
    if (heap_.empty() || heap_.front().at > now) return false;
    *entry = heap_.front();
    std::pop_heap(heap_.begin(), heap_.end(), later);
    heap_.pop_back();
    return true;
  }
  Time next() const { return heap_.empty() ? kNever : heap_.front().at; }

 private:
  // With the key, so that the order never depends on how the heap came about.
  static bool later(const Entry& a, const Entry& b) {
    return a.at != b.at ? a.at > b.at : a.key > b.key;
  }
  std::vector<Entry> heap_;
};

}  // namespace imctl::router

#endif  // IMCTL_ROUTER_CORE_TIMERS_H
