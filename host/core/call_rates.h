// How many calls end a second, lately, and how much what modules count grows.
#ifndef IMCTL_HOST_CORE_CALL_RATES_H
#define IMCTL_HOST_CORE_CALL_RATES_H

#include <cstddef>
#include <cstdint>
#include <deque>
#include <map>
#include <mutex>

#include "road/method_table.h"
#include "road/metrics.h"
#include "road/timer.h"

namespace imctl::host {

// Whether a gRPC status code says that the host or a module failed, and not that the caller was
// wrong, late or gone.
bool is_failure(size_t code);

struct CallTotals {
  uint64_t ended = 0;
  uint64_t failed = 0;  // of them
};
CallTotals total_calls(const MethodTable& methods);

// Looks once a second. The timer must be stopped before this goes.
class CallRates {
 public:
  CallRates(const MethodTable* methods, Metrics* metrics, Timer* timer);
  CallRates(const CallRates&) = delete;
  CallRates& operator=(const CallRates&) = delete;

  struct Rates {
    double ended = 0;  // a second
    double failed = 0;
  };
  // Of the last ten seconds, or of as long as there is. [any]
  Rates lately() const;
  // How much that metric grew a second.
  double lately(const Metric& metric) const;

 private:
  struct Sample {
    int64_t time;  // ns of CLOCK_MONOTONIC
    CallTotals totals;
    std::map<const Metric*, double> counters;
  };
  Sample now() const;
  static constexpr size_t kSamples = 11;
  static constexpr int64_t kInterval = 1'000'000'000;

  void sample();

  const MethodTable* const methods_;
  Metrics* const metrics_;
  Timer* const timer_;
  mutable std::mutex mutex_;
  std::deque<Sample> samples_;  // guarded by mutex_; the oldest first
};

}  // namespace imctl::host

#endif  // IMCTL_HOST_CORE_CALL_RATES_H
