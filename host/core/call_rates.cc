#include "core/call_rates.h"

namespace imctl::host {

bool is_failure(size_t code) {
  switch (code) {
    case IMCTL_UNKNOWN:
    case IMCTL_RESOURCE_EXHAUSTED:
    case IMCTL_INTERNAL:
    case IMCTL_UNAVAILABLE:
    case IMCTL_DATA_LOSS: return true;
    default: return false;
  }
}

CallTotals total_calls(const MethodTable& methods) {
  CallTotals totals;
  for (const MethodSlot* slot : methods.all()) {
    for (size_t code = 0; code < MethodSlot::kCodes; ++code) {
      totals.ended += slot->ended(code);
      if (is_failure(code)) totals.failed += slot->ended(code);
    }
  }
  return totals;
}

CallRates::CallRates(const MethodTable* methods, Metrics* metrics, Timer* timer)
    : methods_(methods), metrics_(metrics), timer_(timer) {
  sample();
}

CallRates::Sample CallRates::now() const {
  Sample sample{monotonic_now(), total_calls(*methods_), {}};
  for (const Metric* metric : metrics_->all()) {
    if (metric->kind() == IMCTL_COUNTER) sample.counters[metric] = metric->value();
  }
  return sample;
}

void CallRates::sample() {
  Sample fresh = now();
  const int64_t time = fresh.time;
  {
    std::lock_guard lock(mutex_);
    samples_.push_back(std::move(fresh));
    if (samples_.size() > kSamples) samples_.pop_front();
  }
  timer_->at(time + kInterval, [this] { sample(); });
}

CallRates::Rates CallRates::lately() const {
  std::lock_guard lock(mutex_);
  const Sample& oldest = samples_.front();
  const CallTotals totals = total_calls(*methods_);
  const double seconds = static_cast<double>(monotonic_now() - oldest.time) / 1e9;
  if (seconds <= 0) return {};
  return {static_cast<double>(totals.ended - oldest.totals.ended) / seconds,
          static_cast<double>(totals.failed - oldest.totals.failed) / seconds};
}

double CallRates::lately(const Metric& metric) const {
  std::lock_guard lock(mutex_);
  const Sample& oldest = samples_.front();
  const double seconds = static_cast<double>(monotonic_now() - oldest.time) / 1e9;
  if (seconds <= 0) return 0;
  // One that was not there yet began at 0.
  const auto then = oldest.counters.find(&metric);
  return (metric.value() - (then == oldest.counters.end() ? 0 : then->second)) / seconds;
}

}  // namespace imctl::host
