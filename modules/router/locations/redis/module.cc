// Locations in a Redis server that the services of a cluster share.
#include <optional>
#include <random>

#include "common/requests.h"
#include "common/ticker.h"
#include "imctl/service.h"
#include "redis/options.h"
#include "redis/store.h"

namespace imctl::locations {
namespace {

using cluster::v1::FindRequest;
using cluster::v1::FindResponse;
using cluster::v1::ListLocationsRequest;
using cluster::v1::ListLocationsResponse;
using cluster::v1::LocationsStatusRequest;
using cluster::v1::LocationsStatusResponse;
using cluster::v1::ReportRequest;
using cluster::v1::ReportResponse;

void fill(cluster::v1::Location* to, const Found& from) {
  const Location& location = from.location;
  fill(to, Table::View{location.user, location.device, location.key.node, location.key.boot,
                       location.key.session, location.since, from.service});
}

class RedisLocations : public Module {
 public:
  explicit RedisLocations(const Host& host)
      : Module(host),
        changes_(host.counter("imctl_locations_changes_total", "Changes that services reported")),
        lookups_(host.counter("imctl_locations_lookups_total", "Users that were looked for")),
        known_(host.gauge("imctl_locations_known", "Locations that are known here")),
        peers_(host.gauge("imctl_locations_services", "Services whose locations are known")),
        sure_(host.gauge("imctl_locations_sure", "1: what is known is all there is")),
        connected_(host.gauge("imctl_locations_connected", "1: the broker can be reached")) {
    serve("/imctl.cluster.v1.Locations/Report", this, &RedisLocations::on_report);
    serve("/imctl.cluster.v1.Locations/Find", this, &RedisLocations::on_find);
    serve("/imctl.cluster.v1.Locations/List", this, &RedisLocations::on_list);
    serve("/imctl.cluster.v1.Locations/Status", this, &RedisLocations::on_status);
  }

  Status prepare(const Settings& settings) override {
    Result<RedisOptions> read = read_options(settings.as<cluster::redis::v1::Config>());
    if (!read.ok()) return read.status();
    name_ = read->name;
    store_ = std::make_unique<Store>(std::move(*read), std::random_device()());
    return apply(settings);
  }

  Status apply(const Settings& settings) override {
    lease_ = milliseconds(settings.as<cluster::redis::v1::Config>().lease());
    return {};
  }

  Status activate() override {
    ticker_.start([this] { work(); });
    return {};
  }

  Status quiesce() override {
    ticker_.stop();
    store_->stop();
    return {};
  }

  void report(State& state) override {
    const Store::Counts counts = store_->counts();
    const std::string doubt = store_->doubt();
    state.add("backend", name_);
    state.add("sure", doubt.empty() ? "yes" : doubt);
    state.add("services", store_->standing("").peers);
    state.add("locations_reported_here", counts.locations);
    state.add("commands", counts.commands);
    state.add("rounds", counts.rounds);
    state.add("times_all_was_written", counts.rewrites);
    state.add("commands_waiting", counts.waiting);
  }

 private:
  void work() {
    while (store_->work() && !ticker_.stopping()) {
    }
    tell(store_->problem());
    const Store::Standing standing = store_->standing("");
    known_.set(static_cast<double>(store_->counts().locations));
    peers_.set(standing.peers);
    sure_.set(standing.sure ? 1 : 0);
  }

  void tell(const std::string& why) {
    connected_.set(why.empty() ? 1 : 0);
    if (why == why_) return;
    why_ = why;
    host().set_health(why.empty(), why);
    // Once for each time that it is away; the health has the newest words.
    if (why.empty()) {
      host().info("locations are shared in the Redis server at " + name_);
    } else if (!warned_) {
      host().warn(why + ": users at other services are not known until it is well");
    }
    warned_ = !why.empty();
  }

  Result<ReportResponse> on_report(const ReportRequest& request, const Context& /*context*/) {
    Result<Report> report = read(request, lease_);
    if (!report.ok()) return report.status();
    changes_.add(request.add_size() + request.remove_size() + request.gone_size());
    const Verdict verdict = store_->report(*report);
    ticker_.wake();
    if (verdict == Verdict::kOlder) return older(*report);
    const Store::Standing standing = store_->standing(report->service);
    ReportResponse response;
    response.set_peers(standing.peers);
    response.set_sure(standing.sure);
    response.set_report_all(verdict == Verdict::kReportAll);
    return response;
  }

  void on_find(const FindRequest& request, const Context& /*context*/,
               Responder<FindResponse> responder) {
    if (Status status = check(request); !status.ok()) return responder.finish(status);
    lookups_.add(request.users_size());
    auto held = std::make_shared<Responder<FindResponse>>(std::move(responder));
    store_->look(request.service(), {request.users().begin(), request.users().end()},
                 [this, held, service = request.service()](const std::vector<Found>* found) {
                   const Store::Standing standing = store_->standing(service);
                   FindResponse response;
                   response.set_peers(standing.peers);
                   response.set_sure(found != nullptr && standing.sure);
                   if (found != nullptr) {
                     for (const Found& one : *found) fill(response.add_locations(), one);
                   }
                   held->finish(response);
                 });
    ticker_.wake();
  }

  void on_list(const ListLocationsRequest& request, const Context& /*context*/,
               Responder<ListLocationsResponse> responder) {
    auto held = std::make_shared<Responder<ListLocationsResponse>>(std::move(responder));
    store_->list({filter_of(request), limit_of(request), request.page_token()},
                 [this, held](const std::vector<Found>* found, const std::string& next) {
                   if (found == nullptr) {
                     held->finish(Status(IMCTL_UNAVAILABLE, "the Redis server at " + name_ +
                                                                " cannot be asked just now"));
                     return;
                   }
                   ListLocationsResponse response;
                   for (const Found& one : *found) fill(response.add_locations(), one);
                   response.set_next_page_token(next);
                   held->finish(response);
                 });
    ticker_.wake();
  }

  Result<LocationsStatusResponse> on_status(const LocationsStatusRequest& /*request*/,
                                            const Context& /*context*/) {
    LocationsStatusResponse response;
    response.set_backend(name_);
    response.set_reason(store_->doubt());
    response.set_sure(response.reason().empty());
    locations::fill(&response, store_->known());
    return response;
  }

  std::atomic<Time> lease_ = 0;
  std::string name_;
  std::unique_ptr<Store> store_;
  Metric changes_;
  Metric lookups_;
  Metric known_;
  Metric peers_;
  Metric sure_;
  Metric connected_;
  std::optional<std::string> why_;  // as it was told; of the ticker's thread
  bool warned_ = false;
  Ticker ticker_;
};

}  // namespace
}  // namespace imctl::locations

using imctl::locations::RedisLocations;
IMCTL_MODULE(RedisLocations)
