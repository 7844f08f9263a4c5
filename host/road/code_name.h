// The names of gRPC's status codes.
#ifndef IMCTL_HOST_ROAD_CODE_NAME_H
#define IMCTL_HOST_ROAD_CODE_NAME_H

#include <array>
#include <cstddef>
#include <cstdint>
#include <string>

namespace imctl::host {

// "NOT_FOUND"; "CODE_99" for one that gRPC does not have.
inline std::string code_name(int32_t code) {
  static constexpr std::array<const char*, 17> kNames = {"OK",
                                                         "CANCELLED",
                                                         "UNKNOWN",
                                                         "INVALID_ARGUMENT",
                                                         "DEADLINE_EXCEEDED",
                                                         "NOT_FOUND",
                                                         "ALREADY_EXISTS",
                                                         "PERMISSION_DENIED",
                                                         "RESOURCE_EXHAUSTED",
                                                         "FAILED_PRECONDITION",
                                                         "ABORTED",
                                                         "OUT_OF_RANGE",
                                                         "UNIMPLEMENTED",
                                                         "INTERNAL",
                                                         "UNAVAILABLE",
                                                         "DATA_LOSS",
                                                         "UNAUTHENTICATED"};
  const auto index = static_cast<size_t>(code);
  return index < kNames.size() ? kNames[index] : "CODE_" + std::to_string(code);
}

}  // namespace imctl::host

#endif  // IMCTL_HOST_ROAD_CODE_NAME_H
