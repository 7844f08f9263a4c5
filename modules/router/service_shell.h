// ServiceShell: what the machine of a Cluster Management Service stands in: links of nodes, and the
// module that serves imctl.cluster.v1.Locations.
#ifndef IMCTL_ROUTER_SERVICE_SHELL_H
#define IMCTL_ROUTER_SERVICE_SHELL_H

#include <atomic>
#include <memory>
#include <string>
#include <unordered_map>
#include <vector>

#include "asking.h"
#include "imctl/cluster/v1/locations.pb.h"
#include "imctl/service.h"
#include "loop.h"
#include "options.h"
#include "router/core/service.h"

namespace imctl::router {

class ServiceShell {
 public:
  ServiceShell(const Host& host, Loop* loop);
  ~ServiceShell();

  void serve(Module* module);

  // Before anything else, on no loop yet.
  void begin(const Options& options, uint64_t boot, uint64_t seed);
  // ---- on the loop
  Time turn(Time now);
  void leave(Time now);
  bool is_running() const { return machine_ != nullptr; }
  ServiceMachine& machine() { return *machine_; }

  // ---- from any thread
  const Host& host() const { return host_; }
  Loop* loop() const { return loop_; }
  const Options& options() const { return options_; }

 private:
  class Link;
  struct Metrics;
  struct Doer;

  static void join(void* user, imctl_call* call, const imctl_context* context,
                   imctl_buffer* request);
  void link_ended(Time now, Link& link);
  void report(const Report& report);
  void reported(Time now, Ticket ticket, const Result<cluster::v1::ReportResponse>& response);
  void find(const Find& find);
  void publish_metrics();

  const Host host_;
  Loop* const loop_;
  const Method<cluster::v1::ReportRequest, cluster::v1::ReportResponse> report_;
  const Method<cluster::v1::FindRequest, cluster::v1::FindResponse> find_;
  Options options_;
  uint64_t boot_ = 0;
  std::unique_ptr<ServiceMachine> machine_;
  ServiceActions actions_;
  uint64_t report_number_ = 0;
  std::atomic<LinkId> last_link_{0};
  bool leaving_ = false;
  std::unordered_map<LinkId, std::shared_ptr<Link>> links_;
  std::vector<std::shared_ptr<Link>> unsent_;  // whose outboxes are to be flushed
  const std::unique_ptr<Metrics> metrics_;
};

}  // namespace imctl::router

#endif  // IMCTL_ROUTER_SERVICE_SHELL_H
