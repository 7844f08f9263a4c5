// What the machines of the router speak in: time, tickets, outcomes, positions, locations.
//
// The machines (NodeMachine, ServiceMachine) are pure: events are methods with the time as an
// argument, actions go into a list that the caller takes and carries out in order. They know no
// clock, thread, socket, protobuf or host, so that a simulator runs the very same code. One thread
// at a time.
#ifndef IMCTL_ROUTER_CORE_TYPES_H
#define IMCTL_ROUTER_CORE_TYPES_H

#include <cstdint>
#include <limits>
#include <memory>
#include <string>
#include <vector>

namespace imctl::router {

// Milliseconds of a clock that never goes back; where it begins means nothing.
using Time = int64_t;
constexpr Time kNever = std::numeric_limits<Time>::max();
// Milliseconds since 1970. Passed through, never compared with a Time.
using WallTime = int64_t;

// Content of a message: nobody here looks into it, and nobody copies it.
using Payload = std::shared_ptr<const std::string>;

// A client's stream: given by the caller, larger for each new one within a node's boot, never 0.
using SessionId = uint64_t;
// A stream between a node and a service, on either side: given by the caller, never used again.
using LinkId = uint64_t;
// An action that is answered: each ticket is answered exactly once, by the event that its action
// names, with an error when there is no answer in time. Until then it holds its place in whatever
// bounds such calls.
using Ticket = uint64_t;

// gRPC's.
enum class Code : int {
  kOk = 0,
  kCancelled = 1,
  kUnknown = 2,
  kInvalidArgument = 3,
  kDeadlineExceeded = 4,
  kNotFound = 5,
  kAlreadyExists = 6,
  kPermissionDenied = 7,
  kResourceExhausted = 8,
  kFailedPrecondition = 9,
  kAborted = 10,
  kOutOfRange = 11,
  kUnimplemented = 12,
  kInternal = 13,
  kUnavailable = 14,
  kDataLoss = 15,
  kUnauthenticated = 16,
};

// Worth another try: the same call may go well later.
inline bool transient(Code code) {
  return code == Code::kUnavailable || code == Code::kDeadlineExceeded || code == Code::kAborted ||
         code == Code::kCancelled || code == Code::kResourceExhausted;
}

struct Outcome {
  Code code = Code::kOk;
  std::string words;
  bool ok() const { return code == Code::kOk; }
};

// Where a message stands in a mailbox.
struct Position {
  std::string mailbox;  // user@domain
  uint64_t epoch = 0;
  uint64_t sequence = 0;
};

// What a node lets in.
enum class NodeState : uint8_t {
  kActive,
  kCordoned,  // no new sessions
  kDraining,  // and those it has are told to move, and closed at the deadline
};

// A session as services know it. (node, boot, session) is its key; two are never the same.
struct Location {
  std::string node;
  uint64_t boot = 0;
  SessionId session = 0;
  std::string user;  // user@domain, its mailbox
  std::string device;
  WallTime since = 0;
};

}  // namespace imctl::router

#endif  // IMCTL_ROUTER_CORE_TYPES_H
