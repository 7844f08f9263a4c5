// Frames: what nodes and services say to each other on a link (imctl.cluster.v1.Cluster/Join), as
// plain structs.
//
// A link is a stream: what arrives arrives in order, and what does not arrive ends the link. Frames
// carry no acknowledgement: pushes are hints (the message is in the mailbox already), sessions are
// told anew as a snapshot on each new link.
#ifndef IMCTL_ROUTER_CORE_FRAMES_H
#define IMCTL_ROUTER_CORE_FRAMES_H

#include <cstddef>
#include <cstdint>
#include <string>
#include <variant>
#include <vector>

#include "types.h"

namespace imctl::router {

// ---- both ways

// One recipient of a message.
struct Target {
  std::string mailbox;
  uint64_t epoch = 0;
  uint64_t sequence = 0;
  // Service to node: the latest of the user's sessions there that the service believed in. 0
  // otherwise.
  SessionId session = 0;
};

// A message that was stored. From the source to a service: once, with all recipients. From a
// service to a destination: once, with the recipients that are there.
struct Push {
  std::string from_node;  // the service stamps it with the link's node, whatever the node wrote
  std::string to_node;    // empty towards a service
  Payload payload;        // none: a hint, the destination reads the store
  WallTime time = 0;      // when it was stored
  std::vector<Target> targets;
  // To those of the service's own nodes only: others are told through their services, or were.
  bool own_only = false;
};

// ---- node to service

// The first frame of a link.
struct Join {
  std::string node;
  uint64_t boot = 0;    // larger after each start of the node
  std::string address;  // for people
  std::string version;  // for people
  NodeState state = NodeState::kActive;
};

// The node lives, and what is new about it. Any frame renews the lease; this one says nothing else.
struct Renew {
  NodeState state = NodeState::kActive;
  uint64_t sessions = 0;
};

struct SessionEntry {
  SessionId session = 0;
  std::string user;
  std::string device;
  WallTime since = 0;
};

// The node's sessions. Without `first` and `last` a change of what is known. A snapshot begins with
// a frame with `first`, ends with one with `last` (the same one, perhaps), and sessions that are in
// none of its frames are gone then; changes do not come in between. The service answers each end of
// a snapshot and each change that adds something. An empty snapshot: the node registers its
// sessions elsewhere now.
struct Sessions {
  bool first = false;
  bool last = false;
  std::vector<SessionEntry> added;
  std::vector<SessionId> removed;
};

// No session of `user` with a number up to `session` is here: whatever says so is old.
struct Nacked {
  std::string user;
  SessionId session = 0;
};
struct Nack {
  std::vector<Nacked> users;
};

// The node had to drop pushes, or does not know what became of them: whoever may have missed one
// must look.
struct Lost {};

// Goodbye: the node's locations end at once.
struct Leave {};

// ---- service to node

// Answers Join. `kept`: how many of the node's sessions the service still has from before.
struct Joined {
  std::string service;
  uint64_t boot = 0;  // of the service
  Time lease = 0;     // how long a silent node is believed, and a silent service
  uint64_t kept = 0;
};

// Answers Sessions: they are known now. In their order.
struct Registered {};

// A sign of life, each third of a lease and when it changes between one and more.
struct Members {
  uint64_t nodes = 0;  // that are joined with this service, the one that reads this among them
};

// The service cannot tell where all of these are just now, or cannot reach them: other services
// may.
struct Unsure {
  WallTime time = 0;
  std::vector<Target> targets;
};

// A later start of the same node has joined: this one is over. It closes its sessions, which
// connect to the later one, and takes none any more.
struct Superseded {
  uint64_t boot = 0;  // of the later one
};

// Pushes for this node's sessions may have been lost: look at the mailboxes, spread over some time.
struct Resync {};

struct CloseSession {
  SessionId session = 0;
  Code code = Code::kAborted;
  std::string words;
};

using Frame = std::variant<Join, Joined, Renew, Sessions, Registered, Push, Nack, Lost, Leave,
                           Members, Unsure, Resync, CloseSession, Superseded>;

// About how many bytes it is on the wire; what bounds of queues count in.
size_t bytes_of(const Frame& frame);
size_t bytes_of(const Push& push);
// "Push", for logs and counters.
const char* name_of(const Frame& frame);

}  // namespace imctl::router

#endif  // IMCTL_ROUTER_CORE_FRAMES_H
