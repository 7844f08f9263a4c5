#include "common/requests.h"

#include <chrono>
#include <limits>

namespace imctl::locations {
namespace {

constexpr size_t kUserBytes = 1024;
constexpr size_t kNameBytes = 256;
constexpr int kChanges = 100'000;
constexpr int kUsers = 10'000;
constexpr Time kShortestLease = 100;
constexpr Time kLongestLease = 3'600'000;
constexpr int64_t kSecond = 1000;
constexpr int64_t kNanos = 1'000'000;

Status bad(const std::string& text) { return {IMCTL_INVALID_ARGUMENT, text}; }

Status check_name(const std::string& field, const std::string& name, size_t most = kNameBytes) {
  if (!name.empty() && name.size() <= most) return {};
  return bad(field + " has to be of 1 to " + std::to_string(most) + " bytes");
}

// The span of the protocol's Timestamp: 0001 to 9999.
constexpr int64_t kFirstSecond = -62'135'596'800;
constexpr int64_t kLastSecond = 253'402'300'799;

Result<int64_t> read(const google::protobuf::Timestamp& time) {
  if (time.seconds() < kFirstSecond || time.seconds() > kLastSecond || time.nanos() < 0 ||
      time.nanos() >= kSecond * kNanos) {
    return bad("add.since is no time");
  }
  return time.seconds() * kSecond + time.nanos() / kNanos;
}

Result<Location> read(const cluster::v1::Location& from) {
  if (Status status = check_name("add.user", from.user(), kUserBytes); !status.ok()) return status;
  if (Status status = check_name("add.node", from.node()); !status.ok()) return status;
  if (from.device().size() > kNameBytes) return bad("add.device has to be of up to 256 bytes");
  Location made;
  made.user = from.user();
  made.device = from.device();
  made.key = {from.node(), from.boot(), from.session()};
  if (from.has_since()) {
    Result<int64_t> since = read(from.since());
    if (!since.ok()) return since.status();
    made.since = *since;
  }
  return made;
}

}  // namespace

Time now_ms() {
  return std::chrono::duration_cast<std::chrono::milliseconds>(
             std::chrono::steady_clock::now().time_since_epoch())
      .count();
}

Time milliseconds(const google::protobuf::Duration& duration) {
  // Nobody means more than the age of the world; it must not overflow.
  constexpr int64_t kMost = 1'000'000'000'000;
  const int64_t seconds = std::min(std::max<int64_t>(duration.seconds(), -kMost), kMost);
  return seconds * kSecond + duration.nanos() / kNanos;
}

void set(google::protobuf::Duration* duration, Time milliseconds) {
  duration->set_seconds(milliseconds / kSecond);
  duration->set_nanos(static_cast<int32_t>(milliseconds % kSecond * kNanos));
}

Result<Report> read(const cluster::v1::ReportRequest& request, Time default_lease) {
  if (Status status = check_name("service", request.service()); !status.ok()) return status;
  if (request.boot() == 0) return bad("boot is missing");
  if (request.number() == 0) return bad("number is missing: reports are numbered from 1");
  if (request.add_size() > kChanges || request.remove_size() > kChanges ||
      request.gone_size() > kChanges ||
      request.add_size() + request.remove_size() + request.gone_size() > kChanges) {
    return bad("more than 100000 changes: report them in parts");
  }
  Report made;
  made.service = request.service();
  made.boot = request.boot();
  made.number = request.number();
  made.begin = request.begin();
  made.end = request.end();
  made.leave = request.leave();
  made.lease = default_lease;
  if (request.has_lease()) {
    made.lease = milliseconds(request.lease());
    if (made.lease < kShortestLease || made.lease > kLongestLease) {
      return bad("lease has to be from 100 ms to an hour");
    }
  }
  for (const auto& node : request.gone()) {
    if (Status status = check_name("gone.node", node.node()); !status.ok()) return status;
    made.change.gone.push_back({node.node(), node.boot()});
  }
  for (const auto& key : request.remove()) {
    if (Status status = check_name("remove.node", key.node()); !status.ok()) return status;
    made.change.remove.push_back({key.node(), key.boot(), key.session()});
  }
  made.change.add.reserve(static_cast<size_t>(request.add_size()));
  for (const auto& location : request.add()) {
    Result<Location> read_one = read(location);
    if (!read_one.ok()) return read_one.status();
    made.change.add.push_back(std::move(*read_one));
  }
  return made;
}

Status check(const cluster::v1::FindRequest& request) {
  if (request.users_size() > kUsers) return bad("more than 10000 users: ask for them in parts");
  return {};
}

size_t limit_of(const cluster::v1::ListLocationsRequest& request) {
  return request.limit() == 0 || request.limit() > kPage ? kPage : request.limit();
}

Table::Filter filter_of(const cluster::v1::ListLocationsRequest& request) {
  return {request.prefix(), request.node(), request.service()};
}

Status older(const Report& report) {
  return {IMCTL_FAILED_PRECONDITION,
          "a newer process reports as the service " + report.service + " than that with boot " +
              std::to_string(report.boot) +
              ": stop one of them, or give each service a name of its own"};
}

void fill(cluster::v1::Location* to, const Table::View& from) {
  to->set_user(from.user);
  to->set_device(from.device);
  to->set_node(from.node);
  to->set_boot(from.boot);
  to->set_session(from.session);
  to->set_service(from.service);
  if (from.since == 0) return;
  int64_t seconds = from.since / kSecond;
  int64_t rest = from.since % kSecond;
  if (rest < 0) {
    rest += kSecond;
    --seconds;
  }
  to->mutable_since()->set_seconds(seconds);
  to->mutable_since()->set_nanos(static_cast<int32_t>(rest * kNanos));
}

void fill(cluster::v1::LocationsStatusResponse* to, const std::vector<Replica::Known>& known) {
  for (const Replica::Known& one : known) {
    auto* service = to->add_services();
    service->set_service(one.service);
    service->set_boot(one.epoch.boot);
    service->set_locations(one.locations);
    set(service->mutable_lease_left(), one.lease_left);
    service->set_in_sync(one.in_sync);
    service->set_local(one.local);
  }
}

}  // namespace imctl::locations
