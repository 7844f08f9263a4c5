// Times as they are stored, milliseconds since 1970, and as messages have them.
#ifndef IMCTL_STORAGE_UNIX_TIME_H
#define IMCTL_STORAGE_UNIX_TIME_H

#include <google/protobuf/timestamp.pb.h>
#include <google/protobuf/util/time_util.h>

#include <algorithm>
#include <chrono>
#include <cstdint>

namespace imctl::storage {

inline int64_t unix_ms() {
  return std::chrono::duration_cast<std::chrono::milliseconds>(
             std::chrono::system_clock::now().time_since_epoch())
      .count();
}

// Anybody may have written it: seconds that a Timestamp must not have are the nearest that it may.
inline int64_t unix_ms(const google::protobuf::Timestamp& time) {
  using google::protobuf::util::TimeUtil;
  const int64_t seconds = std::clamp<int64_t>(time.seconds(), TimeUtil::kTimestampMinSeconds,
                                              TimeUtil::kTimestampMaxSeconds);
  return seconds * 1000 + time.nanos() / 1'000'000;
}

inline google::protobuf::Timestamp to_timestamp(int64_t ms) {
  return google::protobuf::util::TimeUtil::MillisecondsToTimestamp(ms);
}

}  // namespace imctl::storage

#endif  // IMCTL_STORAGE_UNIX_TIME_H
