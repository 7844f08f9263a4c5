#include "cluster_service.h"

#include <algorithm>
#include <set>
#include <utility>

#include "callback.h"
#include "on_loop.h"
#include "wire.h"

namespace imctl::router {
namespace {

namespace v1 = cluster::v1;

constexpr uint32_t kMostSessions = 1000;
constexpr Time kDefaultDrain = 30'000;
// How often a drain tells how far it is, and how long it waits beyond its end.
constexpr Time kLook = 500;
constexpr Time kPatience = 15'000;

const char* name_of(int state) {
  switch (state) {
    case v1::CORDONED: return "cordoned";
    case v1::DRAINING: return "draining";
    default: return "active";
  }
}
const char* name_of(NodeState state) {
  switch (state) {
    case NodeState::kCordoned: return "cordoned";
    case NodeState::kDraining: return "draining";
    case NodeState::kActive: break;
  }
  return "active";
}

Status no_node(const std::string& name) {
  return {IMCTL_NOT_FOUND, "there is no node " + name + " (`imctl node list`)"};
}

Status no_service() {
  return {IMCTL_UNAVAILABLE, "this host has no link to a Cluster Management Service just now"};
}

std::string session_name(const std::string& node, SessionId session) {
  return node + "/" + std::to_string(session);
}

}  // namespace

ClusterService::ClusterService(NodeShell* node, ServiceShell* service, Orders* orders,
                               Module* module)
    : node_(node),
      service_(service),
      orders_(orders),
      host_(node->host()),
      loop_(node->loop()),
      list_(host_, "/imctl.cluster.v1.Locations/List"),
      status_(host_, "/imctl.cluster.v1.Locations/Status") {
  module->serve("/imctl.cluster.v1.Cluster/Status", this, &ClusterService::status);
  module->serve("/imctl.cluster.v1.Cluster/Explain", this, &ClusterService::explain);
  module->serve("/imctl.cluster.v1.Nodes/List", this, &ClusterService::list_nodes);
  module->serve("/imctl.cluster.v1.Nodes/Get", this, &ClusterService::get_node);
  module->serve("/imctl.cluster.v1.Nodes/Cordon", this, &ClusterService::cordon);
  module->serve("/imctl.cluster.v1.Nodes/Uncordon", this, &ClusterService::uncordon);
  module->serve("/imctl.cluster.v1.Nodes/Drain", this, &ClusterService::drain);
  module->serve("/imctl.session.v1.Sessions/List", this, &ClusterService::list_sessions);
  module->serve("/imctl.session.v1.Sessions/Close", this, &ClusterService::close_sessions);
}

template <class Request, class Reply>
Task<Result<Reply>> ClusterService::elsewhere(const char* method, const Request& request,
                                              const Context& context) {
  co_await on_loop(loop_);
  const std::vector<NodeShell::LinkInfo> links = node_->links();
  Status last = no_service();
  for (const NodeShell::LinkInfo& link : links) {
    if (link.address.empty()) continue;
    const Method<Request, Reply> there(host_, std::string(method) + "@" + link.address);
    CallOptions options;
    options.parent = &context;
    Result<Reply> reply = co_await there(request, options);
    if (reply.ok() || reply.status().code() != IMCTL_UNAVAILABLE) co_return reply;
    last = reply.status();
  }
  co_return last;
}

// ---- nodes

// As this service knows them, and those of which there is an order only.
Task<std::vector<v1::Node>> ClusterService::nodes() {
  const std::map<std::string, internal::StoredNode> orders = orders_->all();
  co_await on_loop(loop_);
  std::vector<v1::Node> all;
  std::set<std::string> known;
  for (const NodeInfo& info : service_->machine().nodes(Loop::now())) {
    v1::Node& node = all.emplace_back();
    known.insert(info.node);
    node.set_node(info.node);
    node.set_state(name_of(info.state));
    node.set_sessions(std::max(info.sessions, info.registered));
    node.set_registered(info.registered);
    node.set_address(info.address);
    node.set_version(info.version);
    node.set_link(info.linked ? "up" : "down");
    *node.mutable_lease_left() = to_duration(info.lease_left);
    node.set_boot(info.boot);
    // Of oneself it is known exactly.
    if (node_->is_running() && info.node == node_->options().name) {
      node.set_sessions(node_->machine().stats().sessions);
    }
  }
  for (const auto& [name, order] : orders) {
    if (known.insert(name).second) {
      v1::Node& node = all.emplace_back();
      node.set_node(name);
      node.set_link("away");
    }
    for (v1::Node& node : all) {
      if (node.node() != name) continue;
      node.set_state(name_of(order.state()));
      node.set_reason(order.reason());
      node.set_changed_by(order.changed_by());
    }
  }
  std::sort(all.begin(), all.end(),
            [](const v1::Node& a, const v1::Node& b) { return a.node() < b.node(); });
  co_return all;
}

Task<Result<v1::ListNodesResponse>> ClusterService::list_nodes(const v1::ListNodesRequest& request,
                                                               const Context& context) {
  if (!service_->is_running()) {
    co_return co_await elsewhere<v1::ListNodesRequest, v1::ListNodesResponse>(
        "/imctl.cluster.v1.Nodes/List", request, context);
  }
  v1::ListNodesResponse response;
  for (v1::Node& node : co_await nodes()) *response.add_nodes() = std::move(node);
  co_return response;
}

Task<Result<v1::Node>> ClusterService::find_node(std::string name) {
  for (v1::Node& node : co_await nodes()) {
    if (node.node() == name) co_return std::move(node);
  }
  co_return no_node(name);
}

Task<Result<v1::Node>> ClusterService::get_node(const v1::GetNodeRequest& request,
                                                const Context& context) {
  if (!service_->is_running()) {
    co_return co_await elsewhere<v1::GetNodeRequest, v1::Node>("/imctl.cluster.v1.Nodes/Get",
                                                               request, context);
  }
  co_return co_await find_node(request.node());
}

Task<Status> ClusterService::order(std::string node, v1::NodeState state, std::string reason,
                                   Time within, std::string by) {
  internal::StoredNode order;
  order.set_node(node);
  order.set_state(state);
  order.set_until(wall_now() + within);
  order.set_reason(reason);
  order.set_changed_by(by);
  co_return co_await orders_->put(std::move(order));
}

Task<Result<v1::Node>> ClusterService::cordon(const v1::CordonRequest& request,
                                              const Context& context) {
  if (!service_->is_running()) {
    co_return co_await elsewhere<v1::CordonRequest, v1::Node>("/imctl.cluster.v1.Nodes/Cordon",
                                                              request, context);
  }
  if (request.node().empty()) co_return Status(IMCTL_INVALID_ARGUMENT, "node: say which");
  // One that is away may be cordoned for when it comes back.
  Status status = co_await order(request.node(), v1::CORDONED, request.reason(), 0,
                                 std::string(context.principal()));
  if (!status.ok()) co_return status;
  Result<v1::Node> node = co_await find_node(request.node());
  if (!node.ok()) {
    v1::Node made;
    made.set_node(request.node());
    made.set_link("away");
    node = std::move(made);
  }
  node->set_state("cordoned");
  node->set_reason(request.reason());
  node->set_changed_by(std::string(context.principal()));
  co_return node;
}

Task<Result<v1::Node>> ClusterService::uncordon(const v1::UncordonRequest& request,
                                                const Context& context) {
  if (!service_->is_running()) {
    co_return co_await elsewhere<v1::UncordonRequest, v1::Node>("/imctl.cluster.v1.Nodes/Uncordon",
                                                                request, context);
  }
  Result<v1::Node> node = co_await find_node(request.node());
  Status status = co_await orders_->remove(request.node());
  if (status.code() == IMCTL_NOT_FOUND) status = node.ok() ? Status() : no_node(request.node());
  if (!status.ok()) co_return status;
  if (!node.ok()) {
    v1::Node made;
    made.set_node(request.node());
    node = std::move(made);
  }
  node->set_state("active");
  node->clear_reason();
  node->clear_changed_by();
  co_return node;
}

Task<uint64_t> ClusterService::sessions_of(std::string name) {
  Result<v1::Node> node = co_await find_node(name);
  co_return node.ok() && node->link() != "away" ? node->sessions() : 0;
}

Task<Status> ClusterService::drain_elsewhere(const v1::DrainRequest& request,
                                             Writer<v1::DrainProgress>& writer) {
  co_await on_loop(loop_);
  Status last = no_service();
  for (const NodeShell::LinkInfo& link : node_->links()) {
    if (link.address.empty()) continue;
    const Method<v1::DrainRequest, v1::DrainProgress> there(
        host_, "/imctl.cluster.v1.Nodes/Drain@" + link.address);
    CallOptions options;
    options.parent = &writer.context();
    ClientStream<v1::DrainRequest, v1::DrainProgress> stream(there, options, &request);
    bool begun = false;
    while (std::optional<v1::DrainProgress> progress = co_await stream.read()) {
      begun = true;
      if (!co_await writer.write(*progress)) stream.cancel();
    }
    last = (co_await stream.finish()).status();
    if (begun || last.code() != IMCTL_UNAVAILABLE) break;
  }
  co_return last;
}

Task<Status> ClusterService::drain(const v1::DrainRequest& request,
                                   Writer<v1::DrainProgress>& writer) {
  const Context& context = writer.context();
  if (!service_->is_running()) {
    co_return co_await drain_elsewhere(request, writer);
  }
  Result<v1::Node> node = co_await find_node(request.node());
  if (!node.ok()) co_return node.status();
  const Time within = request.has_time() ? from_duration(request.time()) : kDefaultDrain;
  if (within < 0) co_return Status(IMCTL_INVALID_ARGUMENT, "time: not less than nothing");
  Status status = co_await order(request.node(), v1::DRAINING, request.reason(), within,
                                 std::string(context.principal()));
  if (!status.ok()) co_return status;
  v1::DrainProgress progress;
  progress.set_node(request.node());
  progress.set_total(node->sessions());
  const Time end = Loop::now() + within + kPatience;
  for (;;) {
    const uint64_t left = co_await sessions_of(request.node());
    progress.set_left(left);
    progress.set_total(std::max(progress.total(), left));
    progress.set_moved(progress.total() - left);
    if (!co_await writer.write(progress)) co_return Status(IMCTL_CANCELLED, "nobody waits for it");
    if (left == 0) co_return Status();
    if (Loop::now() > end) {
      co_return Status(IMCTL_DEADLINE_EXCEEDED,
                       "node " + request.node() + " still has " + std::to_string(left) +
                           " sessions: does it live? (`imctl node get " + request.node() + "`)");
    }
    co_await pause_on(loop_, kLook);
    if (context.cancelled()) co_return Status(IMCTL_CANCELLED, "nobody waits for it");
  }
}

// ---- sessions

Task<Result<v1::ListLocationsResponse>> ClusterService::locations(std::string user,
                                                                  std::string node, uint32_t limit,
                                                                  std::string page) {
  v1::ListLocationsRequest request;
  request.set_prefix(user);
  request.set_node(node);
  request.set_limit(limit);
  request.set_page_token(page);
  Result<v1::ListLocationsResponse> response = co_await list_(request);
  if (response.ok() || response.status().code() != IMCTL_UNIMPLEMENTED) co_return response;
  // Without a module for it there is one service only, which knows them all.
  co_await on_loop(loop_);
  v1::ListLocationsResponse made;
  std::string after_node;
  SessionId after = 0;
  if (size_t slash = page.rfind('/'); slash != std::string::npos) {
    after_node = page.substr(0, slash);
    after = std::strtoull(page.c_str() + slash + 1, nullptr, 10);
  }
  for (;;) {
    std::vector<Location> some = service_->machine().sessions(after_node, after, limit);
    for (const Location& location : some) {
      after_node = location.node;
      after = location.session;
      if (!node.empty() && location.node != node) continue;
      if (location.user.rfind(user, 0) != 0) continue;
      v1::Location* to = made.add_locations();
      to->set_user(location.user);
      to->set_device(location.device);
      to->set_node(location.node);
      to->set_boot(location.boot);
      to->set_session(location.session);
      *to->mutable_since() = to_timestamp(location.since);
      if (made.locations_size() == static_cast<int>(limit)) {
        made.set_next_page_token(session_name(after_node, after));
        co_return made;
      }
    }
    if (some.size() < limit) co_return made;
  }
}

Task<Result<session::v1::ListSessionsResponse>> ClusterService::list_sessions(
    const session::v1::ListSessionsRequest& request, const Context& context) {
  if (!service_->is_running()) {
    co_return co_await elsewhere<session::v1::ListSessionsRequest,
                                 session::v1::ListSessionsResponse>(
        "/imctl.session.v1.Sessions/List", request, context);
  }
  const uint32_t limit =
      request.limit() == 0 ? kMostSessions : std::min(request.limit(), kMostSessions);
  session::v1::ListSessionsResponse response;
  std::string page = request.page_token();
  // Users begin with the text; whole users are asked for.
  while (response.sessions_size() < static_cast<int>(limit)) {
    Result<v1::ListLocationsResponse> some =
        co_await locations(request.user(), request.node(),
                           limit - static_cast<uint32_t>(response.sessions_size()), page);
    if (!some.ok()) co_return some.status();
    for (const v1::Location& from : some->locations()) {
      if (!request.user().empty() && from.user() != request.user()) continue;
      session::v1::Session* to = response.add_sessions();
      to->set_session(session_name(from.node(), from.session()));
      to->set_user(from.user());
      to->set_device(from.device());
      to->set_node(from.node());
      *to->mutable_since() = from.since();
    }
    page = some->next_page_token();
    if (page.empty()) break;
  }
  response.set_next_page_token(page);
  co_return response;
}

Task<Result<session::v1::CloseSessionsResponse>> ClusterService::close_sessions(
    const session::v1::CloseSessionsRequest& request, const Context& context) {
  if (!service_->is_running()) {
    co_return co_await elsewhere<session::v1::CloseSessionsRequest,
                                 session::v1::CloseSessionsResponse>(
        "/imctl.session.v1.Sessions/Close", request, context);
  }
  if (request.session().empty() == request.user().empty()) {
    co_return Status(IMCTL_INVALID_ARGUMENT, "give a session or a user, one of them");
  }
  const std::string words = "an administrator closed the session";
  session::v1::CloseSessionsResponse response;
  std::string page;
  do {
    const size_t slash = request.session().rfind('/');
    const std::string node =
        slash == std::string::npos ? request.session() : request.session().substr(0, slash);
    Result<v1::ListLocationsResponse> some =
        co_await locations(request.user(), node, kMostSessions, page);
    if (!some.ok()) co_return some.status();
    co_await on_loop(loop_);
    for (const v1::Location& from : some->locations()) {
      const bool meant = request.user().empty()
                             ? session_name(from.node(), from.session()) == request.session()
                             : from.user() == request.user();
      if (meant && service_->machine().close_session(Loop::now(), from.node(), from.boot(),
                                                     from.session(), Code::kAborted, words)) {
        response.set_closed(response.closed() + 1);
      }
    }
    page = some->next_page_token();
  } while (!page.empty());
  if (response.closed() == 0) {
    co_return Status(IMCTL_NOT_FOUND,
                     request.user().empty()
                         ? "there is no session " + request.session() + " (`imctl session list`)"
                         : "there is no session of " + request.user());
  }
  co_return response;
}

// ---- the whole

Task<Result<v1::ClusterStatus>> ClusterService::status(const v1::ClusterStatusRequest& request,
                                                       const Context& context) {
  if (!service_->is_running()) {
    co_return co_await elsewhere<v1::ClusterStatusRequest, v1::ClusterStatus>(
        "/imctl.cluster.v1.Cluster/Status", request, context);
  }
  v1::ClusterStatus status;
  for (v1::Node& node : co_await nodes()) *status.add_nodes() = std::move(node);
  Result<v1::LocationsStatusResponse> known = co_await status_(v1::LocationsStatusRequest());
  co_await on_loop(loop_);
  const ServiceStats stats = service_->machine().stats();
  v1::Service* here = status.add_services();
  here->set_service(service_->options().name);
  here->set_state("here");
  here->set_nodes(stats.nodes);
  here->set_sessions(stats.locations);
  here->set_pushes_in(stats.pushes_in);
  here->set_pushes_out(stats.pushes_out);
  here->set_offline(stats.offline);
  here->set_sure(stats.sure);
  here->set_reason(stats.why);
  status.set_sessions(stats.locations);
  status.set_users(stats.users);
  if (!known.ok()) co_return status;
  for (const v1::LocationService& from : known->services()) {
    if (from.service() == here->service()) continue;
    v1::Service* to = status.add_services();
    to->set_service(from.service());
    to->set_state("known");
    to->set_sessions(from.locations());
    to->set_sure(from.in_sync());
    status.set_sessions(status.sessions() + from.locations());
  }
  co_return status;
}

Task<Result<v1::Explanation>> ClusterService::explain(const v1::ExplainRequest& request,
                                                      const Context& context) {
  if (!service_->is_running()) {
    co_return co_await elsewhere<v1::ExplainRequest, v1::Explanation>(
        "/imctl.cluster.v1.Cluster/Explain", request, context);
  }
  auto found = co_await callback<Result<std::vector<std::string>>>(
      [&](auto answer) { node_->directory().find({request.address()}, std::move(answer)); });
  if (!found.ok()) co_return found.status();
  v1::Explanation explanation;
  const std::string user = found->front();
  explanation.set_mailbox(user);
  explanation.add_steps()->set_step("it is stored in the mailbox " + user +
                                    ", then the sender is told");
  Result<v1::ListLocationsResponse> everywhere = co_await locations(user, "", kMostSessions, "");
  co_await on_loop(loop_);
  const Route route = service_->machine().explain(Loop::now(), user);
  explanation.add_steps()->set_step("service " + service_->options().name + ": " + route.why);
  std::set<std::string> named;
  auto add = [&](const std::string& node, SessionId session, const std::string& device,
                 const std::string& way) {
    if (!named.insert(session_name(node, session)).second) return;
    v1::Explanation::Destination* to = explanation.add_destinations();
    to->set_node(node);
    to->set_session(session_name(node, session));
    to->set_device(device);
    to->set_way(way);
  };
  for (const Route::Hop& hop : route.hops) {
    add(hop.location.node, hop.location.session, hop.location.device,
        hop.linked ? "registered here, its node is linked"
                   : "registered here, but its node is not linked: other services are asked");
  }
  if (everywhere.ok()) {
    for (const v1::Location& location : everywhere->locations()) {
      if (location.user() != user) continue;
      add(location.node(), location.session(), location.device(),
          "reported by service " + location.service());
    }
  }
  if (explanation.destinations().empty()) {
    explanation.add_steps()->set_step(
        "nobody of that name is connected: it is read from the mailbox when they are");
  }
  co_return explanation;
}

}  // namespace imctl::router
