// Times between protobuf's messages and std::chrono.
#ifndef IMCTL_HOST_BUILTIN_TIMES_H
#define IMCTL_HOST_BUILTIN_TIMES_H

#include <google/protobuf/duration.pb.h>
#include <google/protobuf/timestamp.pb.h>

#include <algorithm>
#include <chrono>
#include <cstdint>

namespace imctl::host {

// What is too long for nanoseconds is the longest there is, about 290 years.
inline std::chrono::nanoseconds to_nanoseconds(const google::protobuf::Duration& duration) {
  constexpr int64_t kMost = INT64_MAX / 1'000'000'000 - 3;  // nanos may be more than a second
  const int64_t seconds = std::clamp(int64_t{duration.seconds()}, -kMost, kMost);
  return std::chrono::seconds(seconds) + std::chrono::nanoseconds(duration.nanos());
}

inline void set_duration(std::chrono::nanoseconds from, google::protobuf::Duration* to) {
  auto seconds = std::chrono::duration_cast<std::chrono::seconds>(from);
  to->set_seconds(seconds.count());
  to->set_nanos(static_cast<int32_t>((from - seconds).count()));
}

inline void set_time(std::chrono::system_clock::time_point time, google::protobuf::Timestamp* to) {
  auto seconds = std::chrono::floor<std::chrono::seconds>(time.time_since_epoch());
  to->set_seconds(seconds.count());
  to->set_nanos(static_cast<int32_t>(
      std::chrono::duration_cast<std::chrono::nanoseconds>(time.time_since_epoch() - seconds)
          .count()));
}

}  // namespace imctl::host

#endif  // IMCTL_HOST_BUILTIN_TIMES_H
