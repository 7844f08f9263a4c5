// NodeShell: what the node's machine stands in. Streams of clients and links to services come in
// here, its actions go out.
#ifndef IMCTL_ROUTER_NODE_SHELL_H
#define IMCTL_ROUTER_NODE_SHELL_H

#include <memory>
#include <string>
#include <unordered_map>
#include <vector>

#include "directory.h"
#include "node_storage.h"
#include "options.h"
#include "router/core/node.h"
#include "router/core/random.h"
#include "session_stream.h"

namespace imctl::router {

class NodeShell {
 public:
  NodeShell(const Host& host, Loop* loop, Directory* directory);
  ~NodeShell();

  void serve(Module* module);

  // Before anything else, on no loop yet.
  void begin(const Options& options, uint64_t boot, uint64_t seed);
  // ---- on the loop
  void dial_all(Time now);
  // Carries out what the machine wants done; when it wants to be asked again.
  Time turn(Time now);
  // Says goodbye and ends all streams.
  void leave(Time now);
  bool is_running() const { return machine_ != nullptr; }
  NodeMachine& machine() { return *machine_; }
  // A user changed; empty: all may have.
  void changed(const std::string& user);
  // Addresses of services that it has a link to, and what they call themselves.
  struct LinkInfo {
    std::string address;  // empty: this host's own
    std::string service;  // empty: not joined
    std::string problem;
  };
  std::vector<LinkInfo> links() const;
  std::string name_of(SessionId session) const;

  // ---- from any thread
  const Host& host() const { return host_; }
  Loop* loop() const { return loop_; }
  Directory& directory() { return *directory_; }
  const NodeStorage& storage() const { return storage_; }
  const Options& options() const { return options_; }

  // ---- of its streams, on the loop
  // Gives it a number and a place.
  Status admit(SessionStream* stream);
  void closed(Time now, SessionStream& stream);

 private:
  class Link;
  struct Metrics;
  struct Doer;

  static void connect(void* user, imctl_call* call, const imctl_context* context,
                      imctl_buffer* request);
  void dial(Time now, const std::string& address);
  void link_ended(Time now, Link& link, const Status& status);
  // A later start of this node has joined a service.
  void superseded(Time now);
  // After the machine has left. None is dialled any more.
  void end_links(Time now);
  void publish_metrics();

  const Host host_;
  Loop* const loop_;
  Directory* const directory_;
  NodeStorage storage_;
  Options options_;
  std::unique_ptr<NodeMachine> machine_;
  NodeActions actions_;
  Random random_{0};
  SessionId last_session_ = 0;
  LinkId last_link_ = 0;
  bool leaving_ = false;
  std::unordered_map<SessionId, std::shared_ptr<SessionStream>> sessions_;
  std::unordered_map<LinkId, std::shared_ptr<Link>> links_;
  std::vector<std::shared_ptr<Link>> unsent_;  // whose outboxes are to be flushed
  std::unordered_map<std::string, uint32_t> failures_;     // of dialling, by address
  std::unordered_map<std::string, std::string> problems_;  // why there is no link, by address
  const std::unique_ptr<Metrics> metrics_;
};

}  // namespace imctl::router

#endif  // IMCTL_ROUTER_NODE_SHELL_H
