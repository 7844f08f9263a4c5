// Between the messages of imctl.cluster.v1.Locations and plain data.
#ifndef IMCTL_LOCATIONS_REQUESTS_H
#define IMCTL_LOCATIONS_REQUESTS_H

#include "imctl/cluster/v1/locations.pb.h"
#include "imctl/status.h"
#include "replica/local.h"
#include "replica/replica.h"
#include "replica/table.h"

namespace imctl::locations {

constexpr size_t kPage = 1000;

Time now_ms();  // of the steady clock
Time milliseconds(const google::protobuf::Duration& duration);
void set(google::protobuf::Duration* duration, Time milliseconds);

// INVALID_ARGUMENT names the field.
Result<Report> read(const cluster::v1::ReportRequest& request, Time default_lease);
Status check(const cluster::v1::FindRequest& request);
size_t limit_of(const cluster::v1::ListLocationsRequest& request);
Table::Filter filter_of(const cluster::v1::ListLocationsRequest& request);
Status older(const Report& report);

void fill(cluster::v1::Location* to, const Table::View& from);
void fill(cluster::v1::LocationsStatusResponse* to, const std::vector<Replica::Known>& known);

}  // namespace imctl::locations

#endif  // IMCTL_LOCATIONS_REQUESTS_H
