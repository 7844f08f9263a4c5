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

CallRates::CallRates(const MethodTable* methods, Timer* timer) : methods_(methods), timer_(timer) {
  sample();
}

void CallRates::sample() {
  const Sample now{monotonic_now(), total_calls(*methods_)};
  {
    std::lock_guard lock(mutex_);
    samples_.push_back(now);
    if (samples_.size() > kSamples) samples_.pop_front();
  }
  timer_->at(now.time + kInterval, [this] { sample(); });
}

CallRates::Rates CallRates::lately() const {
  Sample oldest{};
  {
    std::lock_guard lock(mutex_);
    oldest = samples_.front();
  }
  const CallTotals now = total_calls(*methods_);
  const double seconds = static_cast<double>(monotonic_now() - oldest.time) / 1e9;
  if (seconds <= 0) return {};
  return {static_cast<double>(now.ended - oldest.totals.ended) / seconds,
          static_cast<double>(now.failed - oldest.totals.failed) / seconds};
}

}  // namespace imctl::host
