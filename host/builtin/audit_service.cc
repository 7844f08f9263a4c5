#include "builtin/audit_service.h"

#include <algorithm>
#include <chrono>
#include <deque>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "builtin/times.h"
#include "core/audit_reader.h"
#include "core/host.h"
#include "imctl/event.h"
#include "road/glob.h"

namespace imctl::host {
namespace {

using SystemClock = std::chrono::system_clock;

constexpr int kRecordsAtOnce = 256;
constexpr size_t kBytesAtOnce = size_t{64} << 10;
constexpr uint32_t kMostLimited = 100'000;  // places of records, in memory
constexpr uint32_t kDefaultLines = 20;

// Which records are asked for.
struct Filter {
  SystemClock::time_point since = SystemClock::time_point::min();
  std::string user;
  std::string method;
  std::string call;
  bool refused = false;

  bool matches(const AuditRecord& record) const {
    const bool refusal = record.code == "UNAUTHENTICATED" || record.code == "PERMISSION_DENIED" ||
                         record.kind == AuditRecord::kOthers;
    return record.time >= since && (user.empty() || record.user == user) &&
           (method.empty() || glob_matches(method, record.method)) &&
           (call.empty() || record.call_id == call) && (!refused || refusal);
  }
};

// A line that is none is shown as what it is: it must not be overlooked.
AuditRecord record_at(std::string_view line, const AuditReader& reader) {
  Result<AuditRecord> record = read_record(line);
  if (record.ok()) return std::move(*record);
  AuditRecord unreadable;
  unreadable.time = SystemClock::now();
  unreadable.kind = "unreadable";
  unreadable.message = audit_file_name(reader.place().file) + ", byte " +
                       std::to_string(reader.place().offset) +
                       ": the line is no record: see `imctl audit verify`";
  return unreadable;
}

void add_record(const AuditRecord& record, v1::AuditRecords* reply) {
  v1::AuditRecord* one = reply->add_records();
  one->set_sequence(record.sequence);
  set_time(record.time, one->mutable_time());
  one->set_kind(record.kind);
  one->set_user(record.user);
  one->set_user_kind(record.user_kind);
  one->set_from(record.from);
  one->set_method(record.method);
  one->set_code(record.code);
  one->set_message(record.message);
  one->set_call(record.call_id);
  if (record.count != 1) one->set_count(record.count);
  one->set_what(record.what);
}

// The next records that match, up to a reply's worth. False: there are no more now.
Result<bool> next_records(AuditReader* reader, const Filter& filter, v1::AuditRecords* reply) {
  for (size_t bytes = 0; bytes < kBytesAtOnce && reply->records_size() < kRecordsAtOnce;) {
    std::string_view line;
    Result<bool> more = reader->next(&line);
    if (!more.ok() || !*more) return more;
    const AuditRecord record = record_at(line, *reader);
    if (!filter.matches(record)) continue;
    add_record(record, reply);
    bytes += line.size();
  }
  return true;
}

// Where the newest `limit` that match begin. File by file from the newest back, so that it costs no
// more than it has to.
Result<AuditPlace> newest(const std::string& folder, const Filter& filter, size_t limit,
                          const Context& context) {
  AuditPlace place;
  std::vector<uint64_t> files = list_audit_files(folder);
  size_t found = 0;
  for (; !files.empty() && found < limit; files.pop_back()) {
    AuditReader reader(folder, {files.back(), 0});
    std::deque<size_t> offsets;
    for (;;) {
      if (context.cancelled()) return Status(IMCTL_CANCELLED, "the reader left");
      std::string_view line;
      Result<bool> more = reader.next(&line);
      if (!more.ok()) return more.status();
      if (!*more || reader.place().file != files.back()) break;
      if (!filter.matches(record_at(line, reader))) continue;
      offsets.push_back(reader.place().offset);
      if (offsets.size() > limit - found) offsets.pop_front();
    }
    if (offsets.empty()) continue;
    found += offsets.size();
    place = {files.back(), offsets.front()};
  }
  if (found > 0) return place;
  // None: what comes is behind all that is there.
  AuditReader reader(folder);
  std::string_view line;
  Result<bool> more = true;
  while ((more = reader.next(&line)).ok() && *more) {
    if (context.cancelled()) return Status(IMCTL_CANCELLED, "the reader left");
  }
  if (!more.ok()) return more.status();
  return reader.after();
}

}  // namespace

AuditService::AuditService(Module& module, Host& host) : host_(host) {
  module.serve("/imctl.host.v1.Audit/List", this, &AuditService::list);
  module.serve("/imctl.host.v1.Audit/Tail", this, &AuditService::tail);
  module.serve("/imctl.host.v1.Audit/Verify", this, &AuditService::verify);
}

Task<Status> AuditService::list(const v1::ListAuditRequest& request,
                                Writer<v1::AuditRecords>& writer) {
  Filter filter;
  filter.user = request.user();
  filter.method = request.method();
  filter.call = request.call();
  filter.refused = request.refused();
  if (request.limit() > kMostLimited) {
    co_return Status(IMCTL_INVALID_ARGUMENT,
                     "limit: at most " + std::to_string(kMostLimited) + "; 0 for all");
  }
  if (request.has_since()) {
    const std::chrono::nanoseconds since = to_nanoseconds(request.since());
    if (since.count() < 0) {
      co_return Status(IMCTL_INVALID_ARGUMENT, "since: how long ago, so not less than 0");
    }
    const SystemClock::time_point now = SystemClock::now();
    filter.since =
        now - std::min<SystemClock::duration>(
                  std::chrono::duration_cast<SystemClock::duration>(since), now.time_since_epoch());
  }
  const std::string& folder = host_.audit().folder();
  AuditPlace from;
  if (request.limit() > 0) {
    Result<AuditPlace> place = newest(folder, filter, request.limit(), writer.context());
    if (!place.ok()) co_return place.status();
    from = *place;
  }
  AuditReader reader(folder, from);
  for (bool more = true; more && !writer.context().cancelled();) {
    v1::AuditRecords reply;
    Result<bool> next = next_records(&reader, filter, &reply);
    if (!next.ok()) co_return next.status();
    more = *next;
    if (reply.records_size() > 0 && !co_await writer.write(reply)) break;
  }
  co_return Status();
}

Task<Status> AuditService::tail(const v1::TailAuditRequest& request,
                                Writer<v1::AuditRecords>& writer) {
  Filter filter;
  filter.user = request.user();
  filter.method = request.method();
  filter.refused = request.refused();
  const uint32_t lines = request.has_lines() ? request.lines() : kDefaultLines;
  if (lines > kMostLimited) {
    co_return Status(IMCTL_INVALID_ARGUMENT, "lines: at most " + std::to_string(kMostLimited));
  }
  auto changed = std::make_shared<Event>();
  writer.on_cancel([changed](imctl_code) { changed->set(); });
  uint64_t watch = 0;
  if (request.follow()) watch = host_.audit().wakes().watch([changed] { changed->set(); });
  const std::string& folder = host_.audit().folder();
  Result<AuditPlace> from = newest(folder, filter, lines, writer.context());
  Status status = from.status();
  if (status.ok()) {
    AuditReader reader(folder, *from);
    for (bool open = true; open && status.ok() && !writer.context().cancelled();) {
      for (bool more = true; more && open && status.ok() && !writer.context().cancelled();) {
        v1::AuditRecords reply;
        Result<bool> next = next_records(&reader, filter, &reply);
        status = next.status();
        more = next.ok() && *next;
        if (reply.records_size() > 0) open = co_await writer.write(reply);
      }
      if (!request.follow()) break;
      if (open && status.ok()) co_await *changed;
    }
  }
  if (watch != 0) host_.audit().wakes().unwatch(watch);
  if (status.ok() && request.follow()) status = Status(IMCTL_CANCELLED, "the reader left");
  co_return status;
}

Result<v1::VerifyAuditResponse> AuditService::verify(const v1::VerifyAuditRequest& request,
                                                     const Context& /*context*/) {
  std::vector<AuditHead> expected;
  if (!request.expect().empty()) {
    Result<AuditHead> head = AuditHead::parse(request.expect());
    if (!head.ok()) return head.status();
    expected.push_back(*head);
  }
  // What this host wrote last is there, whatever happened to the files.
  if (AuditHead own = host_.audit().head(); own.sequence > 0) expected.push_back(own);
  Result<AuditCheck> check = verify_audit(host_.audit().folder(), expected);
  if (!check.ok()) return check.status();
  v1::VerifyAuditResponse reply;
  reply.set_result("OK");
  reply.set_records(check->records);
  reply.set_files(check->files);
  reply.set_first(check->first);
  reply.set_anchor(check->anchor);
  reply.set_head(check->head.text());
  reply.set_torn(check->torn);
  reply.set_lost(check->lost);
  return reply;
}

}  // namespace imctl::host
