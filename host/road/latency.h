// How long calls take, counted so that quantiles of any span of time can be told afterwards.
#ifndef IMCTL_HOST_ROAD_LATENCY_H
#define IMCTL_HOST_ROAD_LATENCY_H

#include <array>
#include <atomic>
#include <bit>
#include <cstddef>
#include <cstdint>

namespace imctl::host {

// Buckets grow by an eighth of a power of two, so a quantile is right within 13 %. The first is for
// all under kLeast, the last for all from about two minutes on.
class Latency {
 public:
  static constexpr size_t kParts = 8;     // of a power of two
  static constexpr unsigned kLeast = 10;  // 2^10 ns, about a microsecond
  static constexpr size_t kBuckets = 27 * kParts + 1;
  using Counts = std::array<uint64_t, kBuckets>;

  void add(int64_t nanoseconds) {
    counts_[bucket_of(nanoseconds)].fetch_add(1, std::memory_order_relaxed);
  }
  Counts counts() const {
    Counts counts{};
    for (size_t i = 0; i < kBuckets; ++i) counts[i] = counts_[i].load(std::memory_order_relaxed);
    return counts;
  }

  // The upper bound of what `part` (0 to 1) of them took at most, in nanoseconds; 0 of none.
  static int64_t quantile(const Counts& counts, double part) {
    uint64_t all = 0;
    for (const uint64_t count : counts) all += count;
    if (all == 0) return 0;
    auto rank = static_cast<uint64_t>(part * static_cast<double>(all - 1));
    size_t at = 0;
    while (at + 1 < kBuckets && rank >= counts[at]) rank -= counts[at++];
    return bound_of(at);
  }

 private:
  static size_t bucket_of(int64_t nanoseconds) {
    const auto value = static_cast<uint64_t>(nanoseconds < 0 ? 0 : nanoseconds);
    if (value >> kLeast == 0) return 0;
    const auto power = static_cast<unsigned>(std::bit_width(value)) - 1;
    const size_t part = (value >> (power - 3)) % kParts;
    const size_t bucket = (power - kLeast) * kParts + part + 1;
    return bucket < kBuckets ? bucket : kBuckets - 1;
  }
  static int64_t bound_of(size_t bucket) {
    const size_t power = bucket / kParts + kLeast;
    return static_cast<int64_t>((uint64_t{kParts} + bucket % kParts) << (power - 3));
  }

  std::array<std::atomic<uint64_t>, kBuckets> counts_{};
};

}  // namespace imctl::host

#endif  // IMCTL_HOST_ROAD_LATENCY_H
