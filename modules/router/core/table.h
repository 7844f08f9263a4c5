// Table: the nodes that are joined with a service, their leases, and the sessions that they
// registered.
//
// A node is there from its Join until its lease is over: after its goodbye at once, after its link
// ended without one for `grace`, and after a lease of silence. A larger boot epoch replaces all
// that the smaller one had; a smaller one is refused. So whatever happened, a location lives no
// longer than a lease.
#ifndef IMCTL_ROUTER_CORE_TABLE_H
#define IMCTL_ROUTER_CORE_TABLE_H

#include <cstddef>
#include <cstdint>
#include <map>
#include <string>
#include <unordered_map>
#include <vector>

#include "frames.h"
#include "service.h"

namespace imctl::router {

struct NodeRecord;
struct UserRecord;

// A session that a node registered.
struct Registration {
  UserRecord* user = nullptr;
  std::string device;
  WallTime since = 0;
  uint32_t snapshot = 0;  // the last one of the node's that it was in, or after which it was added
};

struct UserRecord {
  struct Place {
    NodeRecord* node = nullptr;
    SessionId session = 0;
  };
  const std::string* name = nullptr;  // the key
  std::vector<Place> places;
};

struct NodeRecord {
  std::string name;
  uint64_t boot = 0;
  std::string address;
  std::string version;
  NodeState state = NodeState::kActive;
  uint64_t told_sessions = 0;  // that it has, as it says
  LinkId link = 0;             // 0: it ended
  Time heard_at = 0;
  Time ended_at = kNever;  // when its link did
  uint64_t number = 0;     // of this life of the record, for timers
  uint32_t snapshot = 0;   // number of the last one
  bool in_snapshot = false;
  std::unordered_map<SessionId, Registration> sessions;
  // While a message is split: which part is this node's, and of which message.
  uint64_t split = 0;
  size_t part = 0;
};

class Table {
 public:
  // Told of each session that came or went.
  class Watcher {
   public:
    Watcher() = default;
    Watcher(const Watcher&) = delete;
    Watcher& operator=(const Watcher&) = delete;
    virtual ~Watcher() = default;
    virtual void changed(const NodeRecord& node, SessionId session, const std::string& user) = 0;
  };

  explicit Table(Watcher& watcher) : watcher_(watcher) {}

  // Null: there is none.
  NodeRecord* node(const std::string& name);
  const UserRecord* user(const std::string& name) const;
  // The node's record for this boot; what another boot had is gone.
  NodeRecord& join(const Join& join);
  // With all of its sessions.
  void remove(NodeRecord& node);
  void apply(NodeRecord& node, const Sessions& frame);
  // The node says that it has none of the user's sessions up to this one; how many were dropped.
  size_t drop(NodeRecord& node, const std::string& user, SessionId up_to);

  const std::map<std::string, NodeRecord>& nodes() const { return nodes_; }
  std::map<std::string, NodeRecord>& nodes() { return nodes_; }
  size_t users() const { return users_.size(); }
  size_t locations() const { return locations_; }

 private:
  void add(NodeRecord& node, const SessionEntry& entry);
  void erase(NodeRecord& node, SessionId session);

  Watcher& watcher_;
  std::map<std::string, NodeRecord> nodes_;
  std::unordered_map<std::string, UserRecord> users_;
  size_t locations_ = 0;
  uint64_t numbers_ = 0;
};

}  // namespace imctl::router

#endif  // IMCTL_ROUTER_CORE_TABLE_H
