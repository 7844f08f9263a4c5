// What people ask of the cluster: imctl.cluster.v1.Cluster (but for Join) and Nodes, and
// imctl.session.v1.Sessions (but for Connect). A host that is no Cluster Management Service asks
// one that it has a link to.
#ifndef IMCTL_ROUTER_CLUSTER_SERVICE_H
#define IMCTL_ROUTER_CLUSTER_SERVICE_H

#include <string>
#include <vector>

#include "imctl/cluster/v1/cluster.pb.h"
#include "imctl/cluster/v1/locations.pb.h"
#include "imctl/service.h"
#include "imctl/session/v1/sessions.pb.h"
#include "node_shell.h"
#include "orders.h"
#include "service_shell.h"

namespace imctl::router {

class ClusterService {
 public:
  ClusterService(NodeShell* node, ServiceShell* service, Orders* orders, Module* module);

 private:
  template <class Request, class Reply>
  using Handler = Task<Result<Reply>> (ClusterService::*)(const Request&, const Context&);

  Task<Result<cluster::v1::ClusterStatus>> status(const cluster::v1::ClusterStatusRequest& request,
                                                  const Context& context);
  Task<Result<cluster::v1::Explanation>> explain(const cluster::v1::ExplainRequest& request,
                                                 const Context& context);
  Task<Result<cluster::v1::ListNodesResponse>> list_nodes(
      const cluster::v1::ListNodesRequest& request, const Context& context);
  Task<Result<cluster::v1::Node>> get_node(const cluster::v1::GetNodeRequest& request,
                                           const Context& context);
  Task<Result<cluster::v1::Node>> cordon(const cluster::v1::CordonRequest& request,
                                         const Context& context);
  Task<Result<cluster::v1::Node>> uncordon(const cluster::v1::UncordonRequest& request,
                                           const Context& context);
  Task<Status> drain(const cluster::v1::DrainRequest& request,
                     Writer<cluster::v1::DrainProgress>& writer);
  Task<Status> drain_elsewhere(const cluster::v1::DrainRequest& request,
                               Writer<cluster::v1::DrainProgress>& writer);
  Task<Result<session::v1::ListSessionsResponse>> list_sessions(
      const session::v1::ListSessionsRequest& request, const Context& context);
  Task<Result<session::v1::CloseSessionsResponse>> close_sessions(
      const session::v1::CloseSessionsRequest& request, const Context& context);

  // The answer of a service at another host, of the first that has one.
  template <class Request, class Reply>
  Task<Result<Reply>> elsewhere(const char* method, const Request& request, const Context& context);
  Task<std::vector<cluster::v1::Node>> nodes();
  Task<Result<cluster::v1::Node>> find_node(std::string name);
  Task<Result<cluster::v1::ListLocationsResponse>> locations(std::string user, std::string node,
                                                             uint32_t limit, std::string page);
  Task<uint64_t> sessions_of(std::string node);
  Task<Status> order(std::string node, cluster::v1::NodeState state, std::string reason,
                     Time within, std::string by);

  NodeShell* const node_;
  ServiceShell* const service_;
  Orders* const orders_;
  const Host host_;
  Loop* const loop_;
  const Method<cluster::v1::ListLocationsRequest, cluster::v1::ListLocationsResponse> list_;
  const Method<cluster::v1::LocationsStatusRequest, cluster::v1::LocationsStatusResponse> status_;
};

}  // namespace imctl::router

#endif  // IMCTL_ROUTER_CLUSTER_SERVICE_H
