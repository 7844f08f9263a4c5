#include "service_shell.h"

#include <algorithm>
#include <utility>

#include "frame_outbox.h"
#include "imctl/retry.h"
#include "stream.h"
#include "wire.h"

namespace imctl::router {
namespace {

// Locations answers at once, from what it knows.
constexpr std::chrono::seconds kPatience{5};
// Whether there is a module for it now.
constexpr Time kLookAgain = 5000;

}  // namespace

// A node's link.
class ServiceShell::Link final : public ServedStream {
 public:
  Link(ServiceShell* service, LinkId id)
      : ServedStream(service->host(), service->loop()),
        outbox(this, serialize_service_frames),
        service_(service),
        id_(id) {}

  LinkId id() const { return id_; }

  FrameOutbox outbox;

 private:
  void arrived(Buffer message) override {
    auto self = std::static_pointer_cast<Link>(shared_from_this());
    if (!message) {
      loop()->post([self](Time now) {
        self->service_->link_ended(now, *self);
        self->end(Status(), true);
      });
      return;
    }
    auto held = std::make_shared<Parsed>(parse_node_frames(message.view()));
    loop()->post([self, held](Time now) {
      if (!self->is_open() || self->is_ending()) return;
      if (!held->good) {
        self->service_->link_ended(now, *self);
        return self->end(
            Status(IMCTL_INVALID_ARGUMENT, "a message is not a valid imctl.cluster.v1.NodeFrames"),
            true);
      }
      for (Frame& frame : held->frames) {
        self->service_->machine().frame(now, self->id_, std::move(frame));
      }
      self->read();
    });
  }
  void written(Time now, size_t size) override { service_->machine().link_written(now, id_, size); }
  void broken(Time now, const Status& /*status*/) override { service_->link_ended(now, *this); }

  ServiceShell* const service_;
  const LinkId id_;
};

struct ServiceShell::Metrics {
  explicit Metrics(const Host& host)
      : nodes(host.gauge("imctl_cluster_nodes", "Nodes that are joined with this service")),
        locations(host.gauge("imctl_cluster_sessions",
                             "Sessions of nodes that are registered with this service")),
        pushes_in(pushes(host, "in")),
        pushes_out(pushes(host, "out")),
        dropped(host.counter("imctl_cluster_pushes_dropped_total",
                             "Frames that a full queue did not take")),
        offline(host.counter("imctl_cluster_offline_total",
                             "Recipients of messages who were nowhere")) {}

  static Metric pushes(const Host& host, const std::string& direction) {
    return host.counter("imctl_cluster_pushes_total", "Frames with messages from and to nodes",
                        "direction=\"" + direction + "\"");
  }

  const Metric nodes, locations, pushes_in, pushes_out, dropped, offline;
  ServiceStats last;
  Time due = 0;
};

ServiceShell::ServiceShell(const Host& host, Loop* loop)
    : host_(host),
      loop_(loop),
      report_(host, "/imctl.cluster.v1.Locations/Report"),
      find_(host, "/imctl.cluster.v1.Locations/Find"),
      metrics_(std::make_unique<Metrics>(host)) {}

ServiceShell::~ServiceShell() = default;

void ServiceShell::serve(Module* module) {
  module->serve("/imctl.cluster.v1.Cluster/Join", &ServiceShell::join, this);
}

void ServiceShell::begin(const Options& options, uint64_t boot, uint64_t seed) {
  options_ = options;
  boot_ = boot;
  leaving_ = false;
  report_number_ = 0;
  if (!options.is_service) return;
  options_.service.boot = boot;
  machine_ = std::make_unique<ServiceMachine>(options_.service, seed);
  // Until a report was answered it is not known who else there is.
  LocationsStatus status;
  status.shared = true;
  status.sure = false;
  status.why = "nothing was reported yet";
  machine_->locations(Loop::now(), status);
}

void ServiceShell::join(void* user, imctl_call* call, const imctl_context* /*context*/,
                        imctl_buffer* /*request*/) {
  auto* self = static_cast<ServiceShell*>(user);
  if (self->machine_ == nullptr) {
    const Status status(IMCTL_FAILED_PRECONDITION,
                        "this host is no Cluster Management Service: its router.roles is without "
                        "`cluster`");
    return self->host_.finish(call, status, Buffer());
  }
  auto link = std::make_shared<Link>(self, ++self->last_link_);
  link->serve(call);
  self->loop_->post([self, link](Time now) {
    if (!link->is_open()) return;
    if (self->leaving_) {
      return link->end(retry_later(IMCTL_UNAVAILABLE, "the cluster service stops"), true);
    }
    self->links_.emplace(link->id(), link);
    self->machine_->link_up(now, link->id());
    link->read();
  });
}

void ServiceShell::link_ended(Time now, Link& link) {
  if (links_.erase(link.id()) != 0) machine_->link_down(now, link.id());
}

// ---- Locations

void ServiceShell::report(const Report& report) {
  cluster::v1::ReportRequest request;
  request.set_service(options_.name);
  request.set_boot(boot_);
  request.set_number(++report_number_);
  request.set_begin(report.first);
  request.set_end(report.last);
  *request.mutable_lease() = to_duration(report.lease);
  for (const Location& location : report.added) {
    cluster::v1::Location* to = request.add_add();
    to->set_user(location.user);
    to->set_device(location.device);
    to->set_node(location.node);
    to->set_boot(location.boot);
    to->set_session(location.session);
    *to->mutable_since() = to_timestamp(location.since);
  }
  for (const Location& location : report.removed) {
    cluster::v1::LocationKey* to = request.add_remove();
    to->set_node(location.node);
    to->set_boot(location.boot);
    to->set_session(location.session);
  }
  ask(report_, request, kPatience,
      [this, ticket = report.ticket](Result<cluster::v1::ReportResponse> response) {
        auto held = std::make_shared<Result<cluster::v1::ReportResponse>>(std::move(response));
        loop_->post([this, ticket, held](Time now) { reported(now, ticket, *held); });
      });
}

void ServiceShell::reported(Time now, Ticket ticket,
                            const Result<cluster::v1::ReportResponse>& response) {
  LocationsStatus status;
  status.shared = true;
  Outcome outcome;
  if (response.ok()) {
    status.peers = response->peers();
    status.sure = response->sure();
    if (!status.sure) status.why = "what other services know is not known in full just now";
    if (response->report_all()) outcome = {Code::kAborted, "everything is to be reported anew"};
  } else if (response.status().code() == IMCTL_UNIMPLEMENTED) {
    // No module serves it: then this service is the only one. It may be loaded later.
    status.shared = false;
    loop_->post_at(now + kLookAgain, [this](Time then) {
      LocationsStatus again;
      again.shared = true;
      if (!leaving_) machine_->locations(then, again);
    });
  } else {
    status.sure = false;
    status.why = response.status().message();
    outcome = to_outcome(response.status());
  }
  machine_->locations(now, status);
  machine_->reported(now, ticket, outcome);
}

void ServiceShell::find(const Find& find) {
  cluster::v1::FindRequest request;
  request.set_service(options_.name);
  for (const std::string& user : find.users) request.add_users(user);
  ask(find_, request, kPatience,
      [this, ticket = find.ticket](Result<cluster::v1::FindResponse> response) {
        auto found = std::make_shared<Found>();
        found->outcome = to_outcome(response.status());
        if (response.ok()) {
          found->sure = response->sure();
          for (cluster::v1::Location& from : *response->mutable_locations()) {
            Location& to = found->locations.emplace_back();
            to.node = std::move(*from.mutable_node());
            to.boot = from.boot();
            to.session = from.session();
            to.user = std::move(*from.mutable_user());
            to.device = std::move(*from.mutable_device());
            to.since = from_timestamp(from.since());
          }
        }
        loop_->post([this, ticket, found](Time now) { machine_->found(now, ticket, *found); });
      });
}

// ---- what the machine wants

struct ServiceShell::Doer {
  ServiceShell* service;

  void operator()(SendFrame& send) const {
    auto link = service->links_.find(send.link);
    if (link == service->links_.end()) return;
    if (link->second->outbox.add(std::move(send.frame), send.size)) {
      service->unsent_.push_back(link->second);
    }
  }
  void operator()(const DropLink& drop) const {
    auto found = service->links_.find(drop.link);
    if (found == service->links_.end()) return;
    std::shared_ptr<Link> link = found->second;
    service->links_.erase(found);
    link->outbox.empty();
    // What was written before says why; who does not read it does not keep the link for that.
    link->end(drop.outcome.ok() ? Status(IMCTL_UNAVAILABLE, "the cluster service ends the link")
                                : to_status(drop.outcome),
              false);
    service->loop_->post_at(Loop::now() + service->options_.service.lease,
                            [link = std::weak_ptr<Link>(link)](Time) {
                              if (auto still = link.lock()) still->end(Status(), true);
                            });
  }
  void operator()(const Find& find) const { service->find(find); }
  void operator()(const Report& report) const { service->report(report); }
};

Time ServiceShell::turn(Time now) {
  if (machine_ == nullptr) return kNever;
  if (machine_->next_deadline() <= now) machine_->tick(now);
  for (;;) {
    machine_->take(actions_);
    if (actions_.empty()) break;
    for (ServiceAction& action : actions_) std::visit(Doer{this}, action);
  }
  std::erase_if(unsent_, [now](const auto& link) { return link->outbox.flush(now); });
  constexpr Time kMetrics = 1000;
  if (now >= metrics_->due) {
    metrics_->due = now + kMetrics;
    publish_metrics();
  }
  const Time next = std::min(machine_->next_deadline(), metrics_->due);
  return unsent_.empty() ? next : std::min(next, now + 1);
}

void ServiceShell::leave(Time now) {
  if (machine_ == nullptr || leaving_) return;
  leaving_ = true;
  machine_->leave(now);
  (void)turn(now);
  for (auto& [id, link] : links_) {
    link->end(retry_later(IMCTL_UNAVAILABLE, "the cluster service stops"), true);
  }
  links_.clear();
  if (report_number_ == 0) return;
  cluster::v1::ReportRequest request;
  request.set_service(options_.name);
  request.set_boot(boot_);
  request.set_number(++report_number_);
  request.set_leave(true);
  ask(report_, request, kPatience, [](const Result<cluster::v1::ReportResponse>&) {});
}

void ServiceShell::publish_metrics() {
  const ServiceStats now = machine_->stats();
  ServiceStats& last = metrics_->last;
  metrics_->nodes.set(static_cast<double>(now.nodes));
  metrics_->locations.set(static_cast<double>(now.locations));
  auto add = [](const Metric& metric, uint64_t then, uint64_t since) {
    if (since != then) metric.add(static_cast<double>(since - then));
  };
  add(metrics_->pushes_in, last.pushes_in, now.pushes_in);
  add(metrics_->pushes_out, last.pushes_out, now.pushes_out);
  add(metrics_->dropped, last.pushes_dropped, now.pushes_dropped);
  add(metrics_->offline, last.offline, now.offline);
  last = now;
}

}  // namespace imctl::router
