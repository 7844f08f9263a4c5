// Between frames of the core and their wire form (link.proto).
#ifndef IMCTL_ROUTER_WIRE_H
#define IMCTL_ROUTER_WIRE_H

#include <string_view>
#include <vector>

#include "google/protobuf/duration.pb.h"
#include "google/protobuf/timestamp.pb.h"
#include "imctl/host.h"
#include "imctl/status.h"
#include "router/core/frames.h"

namespace imctl::router {

struct Parsed {
  bool good = false;  // else these are no frames
  // Without those of a kind that is not known here, which a later version may say.
  std::vector<Frame> frames;
};
Parsed parse_node_frames(std::string_view bytes);
Parsed parse_service_frames(std::string_view bytes);

// Empty: it is over 2 GiB, or there is no memory.
Buffer serialize_node_frames(const Host& host, const std::vector<Frame>& frames);
Buffer serialize_service_frames(const Host& host, const std::vector<Frame>& frames);

// What is beyond 10,000 years is as much.
google::protobuf::Timestamp to_timestamp(WallTime time);
WallTime from_timestamp(const google::protobuf::Timestamp& time);
google::protobuf::Duration to_duration(Time time);
Time from_duration(const google::protobuf::Duration& time);
WallTime wall_now();

inline imctl_code to_code(Code code) { return static_cast<imctl_code>(code); }
inline Outcome to_outcome(const Status& status) {
  return {static_cast<Code>(status.code()), status.message()};
}
inline Status to_status(const Outcome& outcome) {
  return outcome.ok() ? Status() : Status(to_code(outcome.code), outcome.words);
}

}  // namespace imctl::router

#endif  // IMCTL_ROUTER_WIRE_H
