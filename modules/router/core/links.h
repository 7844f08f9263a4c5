// Links: a node's streams to the Cluster Management Services: joining, the lease, which of them is
// the home that the sessions are registered with, and which one a push goes through.
//
// The home is the first by rendezvous hash of those that are joined, so nodes spread over services
// without asking anybody, and few move when a service comes or goes. Whoever loses its home
// registers elsewhere after a random while; whoever sees a better one waits until that has been
// there for some time.
#ifndef IMCTL_ROUTER_CORE_LINKS_H
#define IMCTL_ROUTER_CORE_LINKS_H

#include <cstddef>
#include <cstdint>
#include <deque>
#include <string>
#include <unordered_map>
#include <vector>

#include "node.h"
#include "random.h"

namespace imctl::router {

// What links ask of the sessions.
class Registry {
 public:
  Registry() = default;
  Registry(const Registry&) = delete;
  Registry& operator=(const Registry&) = delete;
  virtual ~Registry() = default;
  // All that are open.
  virtual std::vector<SessionId> all() const = 0;
  // False: it is closed. `generation`: of the registration that tells it now, noted with the
  // session.
  virtual bool entry(SessionId session, uint32_t generation, SessionEntry* entry) = 0;
  virtual size_t count() const = 0;
  // Pushes may have been lost up to now: look at all mailboxes.
  virtual void resync(Time now) = 0;
  // Or at one.
  virtual void look(Time now, SessionId session) = 0;
};

class Links {
 public:
  Links(const NodeSettings& settings, Random& random, NodeActions& out, NodeStats& stats,
        Registry& registry)
      : settings_(settings), random_(random), out_(out), stats_(stats), registry_(registry) {}

  void up(Time now, LinkId link);
  void down(Time now, LinkId link);
  void written(Time now, LinkId link, size_t size);
  // A frame that concerns the link only: Joined, Registered, Members, Unsure. Any frame is a sign
  // of life; false: there is no such link, or it may not say that now (and was dropped).
  bool heard(Time now, LinkId link, const Frame& frame);
  void drop(Time now, LinkId link, Code code, std::string words);

  // ---- sessions. `generation`: with which it was told, as Registry::entry was given it.
  void opened(SessionId session) { added_.push_back(session); }
  void closed(SessionId session, uint32_t generation);

  // ---- messages.
  // Nobody else is there to get a push, as far as services have said: then it is left out.
  bool alone() const;
  void left_out() { left_out_ = true; }
  // Through one service; dropped if none has room.
  void push(Time now, Push push);
  void nack(Time now, LinkId link, Nack nack);

  void state(Time now, NodeState state);
  void leave(Time now);
  // Sends what was collected. Call it before actions are taken.
  void flush(Time now);
  void tick(Time now);
  Time next_deadline() const;
  void fill(NodeStats& stats) const;

 private:
  struct Link {
    LinkId id = 0;
    bool ready = false;  // Joined came
    std::string service;
    uint64_t rank = 0;  // the home is the one with the largest
    Time lease = 0;
    Time ready_at = 0;
    Time sent_at = 0;
    Time heard_at = 0;
    Time news_at = 0;  // send_news; 0: never
    uint64_t nodes = 0;
    uint64_t told_doubts = 0;
    size_t queued = 0;
    bool holds = false;  // the service knows sessions that were registered with it
    // What it has not answered yet: sessions that are new to it; none for the end of a snapshot.
    std::deque<std::vector<SessionId>> told;
  };

  Link* find(LinkId link);
  void send(Time now, Link& link, Frame frame);
  void send_news(Time now, Link& link, Frame frame);
  void joined(Time now, Link& link, const Joined& joined);
  void registered(Time now, Link& link);
  void unsure(Time now, Link& from, const Unsure& unsure);
  bool room(const Link& link, size_t size) const {
    return link.queued == 0 || link.queued + size <= settings_.max_link_queue;
  }
  // The one to register with: the best of those that are ready at least so long.
  Link* best(Time now, Time ready_for);
  // When the home should be looked for again.
  void plan_home(Time now);
  void begin_registration(Time now, Link& link);
  // Whoever else knows sessions is told that they are elsewhere now.
  void clear_others(Time now);
  // The next frames of the snapshot, as far as there is room.
  void go_on_registering(Time now);
  void flush_changes(Time now);
  // Tells services that pushes were lost, those that do not know yet.
  void tell_doubts(Time now, Link& link);
  void tell_doubts(Time now);

  const NodeSettings& settings_;
  Random& random_;
  NodeActions& out_;
  NodeStats& stats_;
  Registry& registry_;

  std::vector<Link> links_;  // few
  NodeState state_ = NodeState::kActive;
  bool left_ = false;
  LinkId home_ = 0;       // what is told of sessions goes there
  bool settled_ = false;  // it has said that it knows them all
  Time register_at_ = kNever;
  uint32_t generation_ = 0;  // of registrations
  // A snapshot on its way: sessions that are to be told, from `told_` on.
  bool registering_ = false;
  std::vector<SessionId> snapshot_;
  size_t told_ = 0;
  // Changes since.
  std::vector<SessionId> added_;
  std::vector<SessionId> removed_;
  // How many times pushes may have been lost, and up to which of them services without a link were
  // told. Every service is: each node is linked to some, and none knows which.
  uint64_t doubts_ = 0;
  std::unordered_map<std::string, uint64_t> told_doubts_;
  bool left_out_ = false;  // pushes were, since a service last said that nobody else is there
};

}  // namespace imctl::router

#endif  // IMCTL_ROUTER_CORE_LINKS_H
