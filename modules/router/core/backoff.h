// Backoff: how long to wait before the next try, with full jitter, so that many who failed together
// do not come back together. Used for dialling services as well.
#ifndef IMCTL_ROUTER_CORE_BACKOFF_H
#define IMCTL_ROUTER_CORE_BACKOFF_H

#include <algorithm>
#include <cstdint>

#include "random.h"
#include "types.h"

namespace imctl::router {

// Of the `failures`-th pause in a row, from 1: anything up to first, 2 first, 4 first, … most.
inline Time backoff(Random& random, uint32_t failures, Time first, Time most) {
  const Time bound = failures > 20 ? most : std::min(most, first << (failures - 1));
  return 1 + static_cast<Time>(random.below(static_cast<uint64_t>(std::max<Time>(bound, 1))));
}

}  // namespace imctl::router

#endif  // IMCTL_ROUTER_CORE_BACKOFF_H
