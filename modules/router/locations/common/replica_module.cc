#include "common/replica_module.h"

#include <utility>

namespace imctl::locations {

using cluster::v1::FindRequest;
using cluster::v1::FindResponse;
using cluster::v1::ListLocationsRequest;
using cluster::v1::ListLocationsResponse;
using cluster::v1::LocationsStatusRequest;
using cluster::v1::LocationsStatusResponse;
using cluster::v1::ReportRequest;
using cluster::v1::ReportResponse;

ReplicaModule::ReplicaModule(const Host& host)
    : Module(host),
      changes_(host.counter("imctl_locations_changes_total", "Changes that services reported")),
      lookups_(host.counter("imctl_locations_lookups_total", "Users that were looked for")),
      known_(host.gauge("imctl_locations_known", "Locations that are known here")),
      peers_(host.gauge("imctl_locations_services", "Services whose locations are known")),
      sure_(host.gauge("imctl_locations_sure", "1: what is known is all there is")) {
  serve("/imctl.cluster.v1.Locations/Report", this, &ReplicaModule::on_report);
  serve("/imctl.cluster.v1.Locations/Find", this, &ReplicaModule::on_find);
  serve("/imctl.cluster.v1.Locations/List", this, &ReplicaModule::on_list);
  serve("/imctl.cluster.v1.Locations/Status", this, &ReplicaModule::on_status);
}

void ReplicaModule::begin(const Replica::Options& options, std::string backend) {
  std::lock_guard lock(mutex_);
  replica_ = std::make_unique<Replica>(options);
  backend_ = std::move(backend);
}

void ReplicaModule::tick() {
  with_replica([this](Replica& replica, Time now, Replica::Output* out) {
    replica.tick(now, out);
    known_.set(static_cast<double>(replica.table().size()));
    peers_.set(static_cast<double>(replica.peers(now, "")));
    sure_.set(replica.sure(now, "") ? 1 : 0);
  });
}

Result<ReportResponse> ReplicaModule::on_report(const ReportRequest& request,
                                                const Context& /*context*/) {
  Result<Report> report = read(request, lease_);
  if (!report.ok()) return report.status();
  changes_.add(request.add_size() + request.remove_size() + request.gone_size());
  return with_replica(
      [&](Replica& replica, Time now, Replica::Output* out) -> Result<ReportResponse> {
        const Verdict verdict = replica.report(now, *report, out);
        if (verdict == Verdict::kOlder) return older(*report);
        ReportResponse response;
        response.set_peers(static_cast<uint32_t>(replica.peers(now, report->service)));
        response.set_sure(replica.sure(now, report->service));
        response.set_report_all(verdict == Verdict::kReportAll);
        return response;
      });
}

Result<FindResponse> ReplicaModule::on_find(const FindRequest& request,
                                            const Context& /*context*/) {
  if (Status status = check(request); !status.ok()) return status;
  lookups_.add(request.users_size());
  return with_replica([&](Replica& replica, Time now, Replica::Output* /*out*/) {
    FindResponse response;
    for (const std::string& user : request.users()) {
      replica.table().find(now, user, request.service(),
                           [&](const Table::View& view) { fill(response.add_locations(), view); });
    }
    response.set_sure(replica.sure(now, request.service()));
    response.set_peers(static_cast<uint32_t>(replica.peers(now, request.service())));
    return Result<FindResponse>(std::move(response));
  });
}

Result<ListLocationsResponse> ReplicaModule::on_list(const ListLocationsRequest& request,
                                                     const Context& /*context*/) {
  return with_replica([&](Replica& replica, Time now, Replica::Output* /*out*/) {
    ListLocationsResponse response;
    response.set_next_page_token(replica.table().page(
        now, filter_of(request), request.page_token(), limit_of(request),
        [&](const Table::View& view) { fill(response.add_locations(), view); }));
    return Result<ListLocationsResponse>(std::move(response));
  });
}

Result<LocationsStatusResponse> ReplicaModule::on_status(const LocationsStatusRequest& /*request*/,
                                                         const Context& /*context*/) {
  return with_replica([&](Replica& replica, Time now, Replica::Output* /*out*/) {
    LocationsStatusResponse response;
    response.set_backend(backend_);
    response.set_reason(replica.doubt(now, ""));
    response.set_sure(response.reason().empty());
    fill(&response, replica.known(now));
    return Result<LocationsStatusResponse>(std::move(response));
  });
}

void ReplicaModule::report(State& state) {
  std::lock_guard lock(mutex_);
  const Time now = now_ms();
  state.add("backend", backend_);
  state.add("sure", replica_->sure(now, "") ? "yes" : replica_->doubt(now, ""));
  state.add("services", replica_->peers(now, ""));
  state.add("locations", replica_->table().size());
  state.add("users", replica_->table().users());
  const Replica::Counts& counts = replica_->counts();
  state.add("gaps", counts.gaps);
  state.add("asks", counts.asks);
  state.add("buckets_repaired", counts.repaired);
  state.add("buckets_served", counts.served);
}

}  // namespace imctl::locations
