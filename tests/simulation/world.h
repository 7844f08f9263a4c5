// World: some nodes, services, users with their devices, a store and a network in one thread and
// virtual time, all from one seed. The nodes and the services run the router's own machines;
// everything around them is a model that fails now and then. Whoever finds that a promise is broken
// says so with fail().
#ifndef IMCTL_SIMULATION_WORLD_H
#define IMCTL_SIMULATION_WORLD_H

#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <set>
#include <stdexcept>
#include <string>
#include <unordered_map>
#include <vector>

#include "directory.h"
#include "pipe.h"
#include "router/core/node.h"
#include "router/core/random.h"
#include "router/core/service.h"
#include "store.h"
#include "timeline.h"

namespace imctl::simulation {

using router::LinkId;
using router::NodeMachine;
using router::ServiceMachine;
using router::SessionId;

class World;

// A promise was broken.
class Broken : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

// A process with a machine: it can be stopped, killed, and its clock runs as it likes.
class Process {
 public:
  explicit Process(World& world);
  virtual ~Process() = default;
  Process(const Process&) = delete;
  Process& operator=(const Process&) = delete;

  // Something happens to it: now, or when it runs again, or never.
  void run(std::function<void()> event);
  void pause();
  void resume();
  void kill();
  // At the end of the world: events that wait hold on to what they are for.
  void let_go() {
    alive_ = false;
    held_.clear();
  }
  bool alive() const { return alive_; }
  bool paused() const { return paused_; }
  Time clock() const;
  double rate() const { return rate_; }
  // How long it stood still since it started, as all clocks but its own see it.
  Time stood() const { return stood_; }
  Time started_at() const { return started_at_; }

 protected:
  virtual void tick() = 0;
  virtual Time deadline() const = 0;
  virtual void carry_out() = 0;
  virtual void died() = 0;
  void step(const std::function<void()>& event);

  World& world_;

 private:
  void arm();
  bool alive_ = true;
  bool paused_ = false;
  double rate_ = 1;
  Time offset_ = 0;
  Time armed_ = router::kNever;
  Time paused_at_ = 0;
  Time stood_ = 0;
  Time started_at_ = 0;
  std::deque<std::function<void()>> held_;
  friend class World;
};

class ServiceProcess;
struct Connection;

// A stream between a node and a service.
struct Link {
  std::shared_ptr<Pipe> pipe;
  std::weak_ptr<ServiceProcess> service;
  size_t index = 0;        // of the service
  size_t outstanding = 0;  // bytes that were not taken yet
};

class NodeProcess : public Process, public std::enable_shared_from_this<NodeProcess> {
 public:
  NodeProcess(World& world, size_t index, uint64_t boot, const router::NodeSettings& settings);
  void begin();
  size_t index() const { return index_; }
  uint64_t boot() const { return boot_; }
  NodeMachine& machine() { return machine_; }
  void accept(const std::shared_ptr<Connection>& connection);
  void cut_link(size_t service);
  void flow();
  std::map<SessionId, std::shared_ptr<Connection>>& connections() { return connections_; }
  void link_ended(LinkId link);
  void frame_arrived(LinkId link, const router::Frame& frame);
  void frame_taken(LinkId link, size_t size);

 protected:
  void tick() override { machine_.tick(clock()); }
  Time deadline() const override { return machine_.next_deadline(); }
  void carry_out() override;
  void died() override;

 private:
  friend struct NodeShell;
  void dial(size_t service, uint32_t failures);
  void check_bounds();

  const size_t index_;
  const uint64_t boot_;
  NodeMachine machine_;
  router::NodeActions actions_;
  std::map<LinkId, Link> links_;
  std::map<SessionId, std::shared_ptr<Connection>> connections_;
};

class ServiceProcess : public Process, public std::enable_shared_from_this<ServiceProcess> {
 public:
  ServiceProcess(World& world, size_t index, uint64_t boot,
                 const router::ServiceSettings& settings);
  void begin();
  size_t index() const { return index_; }
  ServiceMachine& machine() { return machine_; }
  struct End {
    std::shared_ptr<Pipe> pipe;
    std::weak_ptr<NodeProcess> node;
    size_t outstanding = 0;
  };
  void accept(LinkId link, const std::shared_ptr<Pipe>& pipe,
              const std::shared_ptr<NodeProcess>& node);
  void link_ended(LinkId link);
  void frame_arrived(LinkId link, const router::Frame& frame);
  void frame_taken(LinkId link, size_t size);
  void flow();

 protected:
  void tick() override { machine_.tick(clock()); }
  Time deadline() const override { return machine_.next_deadline(); }
  void carry_out() override;
  void died() override;

 private:
  friend struct ServiceShell;
  void poll_directory();

  const size_t index_;
  const uint64_t boot_;
  ServiceMachine machine_;
  router::ServiceActions actions_;
  std::map<LinkId, End> links_;
};

// What a user's device knows; it outlives its connections.
struct Device {
  size_t number = 0;
  std::string user;
  std::string name;
  uint64_t epoch = 0;
  uint64_t last = 0;                          // the user has seen all up to here
  std::map<uint64_t, uint64_t> acknowledged;  // by epoch: what a cursor may stand at
  std::map<std::string, std::vector<std::string>> unanswered;  // messages and their recipients
  std::shared_ptr<Connection> connection;
  bool connecting = false;
  uint32_t failures = 0;
};

// A client's stream to a node.
struct Connection : std::enable_shared_from_this<Connection> {
  std::shared_ptr<Pipe> pipe;  // way 0: to the node
  std::weak_ptr<NodeProcess> node;
  Device* device = nullptr;
  SessionId session = 0;
  bool opened = false;
  bool over = false;    // for the client
  bool reading = true;  // the client takes what comes
  bool node_reads = true;
  std::deque<std::function<void()>> unread;  // by the client
  std::deque<std::function<void()>> sent;    // that the node does not read now
  uint64_t epoch = 0;
  uint64_t last = 0;  // delivered to it
  bool ack_planned = false;
  // As the node sees it.
  size_t queued = 0;
  std::deque<std::pair<uint64_t, size_t>> unacknowledged;
  size_t unacknowledged_bytes = 0;
};

struct Options {
  uint64_t seed = 0;
  Time length = 40000;  // of the time in which things go wrong
  bool trace = false;
};

struct Summary {
  uint64_t events = 0;
  uint64_t messages = 0;
  uint64_t delivered = 0;
  uint64_t faults = 0;
  uint64_t frames = 0;
};

class World {
 public:
  explicit World(const Options& options);
  ~World();
  World(const World&) = delete;
  World& operator=(const World&) = delete;
  Summary run();

  [[noreturn]] void fail(const std::string& words) const;
  template <typename... Parts>
  void trace(const Parts&... parts) const {
    if (options_.trace) print((std::string() + ... + text(parts)));
  }
  Time random_time(Time most) {
    return static_cast<Time>(random.below(static_cast<uint64_t>(most)));
  }
  bool chance(uint64_t of_1000) { return random.below(1000) < of_1000; }

  // ---- clients (client.cc)
  void make_devices();
  void connect(Device& device);
  // By value: the device lets go of it.
  void disconnect(std::shared_ptr<Connection> connection, Time node_sees);
  void reconnect(Device& device, Time after);
  void to_client(const std::shared_ptr<Connection>& connection, std::function<void()> event);
  void to_node(const std::shared_ptr<Connection>& connection, std::function<void()> event);
  void delivered(const std::shared_ptr<Connection>& connection, const router::Deliver& deliver);
  void was_reset(const std::shared_ptr<Connection>& connection, const router::Reset& reset);
  void acknowledge(const std::shared_ptr<Connection>& connection);
  void say_something(Device& device);
  void submit(Device& device, const std::string& message);
  void sent(Device& device, const router::Sent& sent);
  void read_on(const std::shared_ptr<Connection>& connection);
  void remember(const std::shared_ptr<Pipe>& pipe) { pipes_.emplace_back(pipe); }

  // ---- faults (faults.cc)
  void start_node(size_t index, Time after);
  void start_service(size_t index, Time after);
  void plan_fault();
  void fault();
  void network_fault();
  void process_fault();
  void client_fault();
  void heal();
  bool blocked(size_t from, size_t to) const { return blocks_.count({from, to}) != 0; }
  size_t node_place(size_t index) const { return index; }
  size_t service_place(size_t index) const { return 1000 + index; }
  void flow_all();

  // ---- checks (checks.cc)
  void watch();
  void check_ghosts();
  void check_end();
  void tell_sessions() const;
  void check_registered();
  void pushed(size_t service, const router::Push& push);

  Timeline timeline;
  Random random;
  Store store;
  Directory directory;
  router::NodeSettings node_settings;
  router::ServiceSettings service_settings;
  std::vector<std::shared_ptr<NodeProcess>> nodes;    // the one that counts, by index
  std::vector<std::shared_ptr<NodeProcess>> zombies;  // older ones that still run
  std::vector<std::shared_ptr<ServiceProcess>> services;
  std::vector<std::shared_ptr<ServiceProcess>> over;  // services that died
  std::vector<std::unique_ptr<Device>> devices;
  std::vector<std::string> users;
  Summary summary;
  bool calm = false;     // nothing goes wrong
  bool patient = false;  // sessions hardly ever look again by themselves
  bool healed = false;
  bool skewed = false;
  Time network = 20;  // milliseconds, at most
  uint64_t boots = 0;
  SessionId session_numbers = 0;
  LinkId link_numbers = 0;
  size_t largest = 0;  // message, as windows count it
  // Which starts of nodes are over, since when.
  std::map<std::pair<std::string, uint64_t>, Time> dead;
  std::map<std::pair<std::string, std::string>, uint32_t> pushes;  // by message and destination

 private:
  static std::string text(const std::string& s) { return s; }
  static std::string text(const char* s) { return s; }
  template <typename T>
  static std::string text(const T& number) {
    return std::to_string(number);
  }
  void print(const std::string& line) const;

  std::vector<std::weak_ptr<Connection>> connections_;  // all that ever were
  std::vector<std::weak_ptr<Pipe>> pipes_;
  const Options options_;
  std::set<std::pair<size_t, size_t>> blocks_;
  uint64_t message_numbers_ = 0;
};

}  // namespace imctl::simulation

#endif  // IMCTL_SIMULATION_WORLD_H
