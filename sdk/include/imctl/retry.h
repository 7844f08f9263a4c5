// Errors that say when to try again, as clients of gRPC expect it: google.rpc.RetryInfo in the
// details.
#ifndef IMCTL_RETRY_H
#define IMCTL_RETRY_H

#include <chrono>
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>

#include "imctl/status.h"

namespace imctl {
namespace detail {

// Three small messages, known by heart: protobuf is not wanted in the process of an isolated
// module.
inline void put_varint(std::string* out, uint64_t value) {
  constexpr uint64_t kMore = 0x80;
  for (; value >= kMore; value >>= 7) out->push_back(static_cast<char>(value | kMore));
  out->push_back(static_cast<char>(value));
}
inline void put_number(std::string* out, uint32_t field, uint64_t value) {
  put_varint(out, field << 3);
  put_varint(out, value);
}
inline void put_bytes(std::string* out, uint32_t field, std::string_view bytes) {
  put_varint(out, (field << 3) | 2);
  put_varint(out, bytes.size());
  out->append(bytes);
}

}  // namespace detail

inline Status retry_later(imctl_code code, std::string message,
                          std::chrono::milliseconds delay = std::chrono::milliseconds(200)) {
  using detail::put_bytes;
  using detail::put_number;
  auto seconds = std::chrono::duration_cast<std::chrono::seconds>(delay);
  std::string duration;  // google.protobuf.Duration
  put_number(&duration, 1, static_cast<uint64_t>(seconds.count()));
  put_number(&duration, 2,
             static_cast<uint64_t>(std::chrono::nanoseconds(delay - seconds).count()));
  std::string retry_info;
  put_bytes(&retry_info, 1, duration);
  std::string any;
  put_bytes(&any, 1, "type.googleapis.com/google.rpc.RetryInfo");
  put_bytes(&any, 2, retry_info);
  std::string status;  // google.rpc.Status
  put_number(&status, 1, static_cast<uint64_t>(code));
  put_bytes(&status, 2, message);
  put_bytes(&status, 3, any);
  return {code, std::move(message), std::move(status)};
}

}  // namespace imctl

#endif  // IMCTL_RETRY_H
