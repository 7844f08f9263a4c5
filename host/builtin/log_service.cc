#include "builtin/log_service.h"

#include <re2/re2.h>

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "builtin/times.h"
#include "core/host.h"

namespace imctl::host {
namespace {

using SystemClock = std::chrono::system_clock;

constexpr size_t kLinesAtOnce = 256;
constexpr size_t kBytesAtOnce = size_t{64} << 10;
constexpr int64_t kPatternMemory = int64_t{1} << 20;

Result<imctl_log_level> level_of(const std::string& text) {
  std::optional<imctl_log_level> level = parse_log_level(text);
  if (level) return *level;
  return Status(IMCTL_INVALID_ARGUMENT,
                "level: '" + text + "' is none of trace, debug, info, warn, error");
}

// Which lines are asked for.
class Filter {
 public:
  static Result<std::unique_ptr<Filter>> make(const v1::TailLogRequest& request) {
    auto filter = std::make_unique<Filter>();
    filter->module_ = request.module();
    filter->call_ = request.call();
    if (!request.level().empty()) {
      Result<imctl_log_level> level = level_of(request.level());
      if (!level.ok()) return level.status();
      filter->level_ = *level;
    }
    if (request.has_since()) {
      const std::chrono::nanoseconds since = to_nanoseconds(request.since());
      if (since.count() < 0) {
        return Status(IMCTL_INVALID_ARGUMENT, "since: how long ago, so not less than 0");
      }
      const SystemClock::time_point now = SystemClock::now();
      filter->since_ = now - std::min<SystemClock::duration>(
                                 std::chrono::duration_cast<SystemClock::duration>(since),
                                 now.time_since_epoch());
    }
    if (!request.grep().empty()) {
      RE2::Options options;
      options.set_log_errors(false);
      options.set_max_mem(kPatternMemory);
      filter->grep_ = std::make_unique<RE2>(request.grep(), options);
      if (!filter->grep_->ok()) {
        return Status(IMCTL_INVALID_ARGUMENT,
                      "grep: not a regular expression: " + filter->grep_->error());
      }
    }
    return filter;
  }

  bool matches(const LogRecord& record) const {
    return record.level >= level_ && record.time >= since_ &&
           (module_.empty() || record.module == module_) &&
           (call_.empty() || record.call_id == call_) &&
           (grep_ == nullptr || RE2::PartialMatch(record.text, *grep_));
  }

 private:
  std::string module_;
  std::string call_;
  imctl_log_level level_ = IMCTL_LOG_TRACE;
  SystemClock::time_point since_ = SystemClock::time_point::min();
  std::unique_ptr<RE2> grep_;
};

void add_line(const LogRecord& record, v1::TailLogResponse* reply) {
  v1::LogLine* line = reply->add_lines();
  set_time(record.time, line->mutable_time());
  line->set_level(to_string(record.level));
  line->set_module(record.module);
  line->set_call(record.call_id);
  line->set_user(record.principal);
  line->set_text(record.text);
}

// The next lines that match. True: there may be more.
bool next_lines(const LogRing& ring, const Filter& filter, uint64_t end, uint64_t* at,
                v1::TailLogResponse* reply) {
  size_t bytes = 0;
  while (*at < end && bytes < kBytesAtOnce) {
    std::vector<LogRing::Record> records;
    uint64_t lost = ring.read(at, kLinesAtOnce, &records);
    if (lost > 0) {
      reply->set_lost(reply->lost() + lost);
      LogRecord word;
      word.time = records.empty() ? SystemClock::now() : records.front()->time;
      word.level = IMCTL_LOG_WARN;
      word.module = "host";
      word.text = std::to_string(lost) + " lines were gone before this reader took them";
      add_line(word, reply);
    }
    for (const LogRing::Record& record : records) {
      if (!filter.matches(*record)) continue;
      add_line(*record, reply);
      bytes += record->bytes();
    }
    if (records.empty()) return false;
  }
  return *at < end;
}

}  // namespace

LogService::LogService(Module& module, Host& host) : host_(host) {
  module.serve("/imctl.host.v1.Log/Tail", this, &LogService::tail);
  module.serve("/imctl.host.v1.Log/Level", this, &LogService::level);
}

Task<Status> LogService::tail(const v1::TailLogRequest& request,
                              Writer<v1::TailLogResponse>& writer) {
  Result<std::unique_ptr<Filter>> filter = Filter::make(request);
  if (!filter.ok()) co_return filter.status();
  LogRing& ring = host_.log().ring();
  auto changed = std::make_shared<Event>();
  writer.on_cancel([changed](imctl_code) { changed->set(); });
  uint64_t watch = 0;
  if (request.follow()) watch = ring.watch([changed] { changed->set(); });
  uint64_t at = ring.first();
  bool open = true;
  while (open && !writer.context().cancelled()) {
    // Bounded also while lines come faster than they are taken.
    uint64_t end = ring.next();
    for (bool more = true; more && open && !writer.context().cancelled();) {
      v1::TailLogResponse reply;
      more = next_lines(ring, **filter, end, &at, &reply);
      if (reply.lines_size() > 0) open = co_await writer.write(reply);
    }
    if (!request.follow()) break;
    if (open) co_await *changed;
  }
  if (watch != 0) ring.unwatch(watch);
  if (request.follow()) co_return Status(IMCTL_CANCELLED, "the reader left");
  co_return Status();
}

Result<v1::LogLevelResponse> LogService::level(const v1::LogLevelRequest& request,
                                               const Context& context) {
  LogLevels& levels = host_.log().levels();
  if (!request.module().empty() && host_.find_module(request.module()) == nullptr) {
    return Status(IMCTL_NOT_FOUND,
                  "no module " + request.module() + " runs: `imctl log level` shows which do");
  }
  if (request.level().empty() && request.has_for_()) {
    return Status(IMCTL_INVALID_ARGUMENT, "level: --for is for how long which level?");
  }
  std::optional<imctl_log_level> wanted;
  if (!request.level().empty()) {
    Result<imctl_log_level> level = level_of(request.level());
    if (!level.ok()) return level.status();
    wanted = *level;
    std::optional<std::chrono::nanoseconds> time;
    if (request.has_for_()) {
      time = to_nanoseconds(request.for_());
      constexpr std::chrono::hours kLongest{24 * 366};
      if (time->count() <= 0 || *time > kLongest) {
        return Status(IMCTL_INVALID_ARGUMENT, "for: more than 0 and at most a year");
      }
    }
    if (!context.dry_run()) {
      host_.set_log_level(request.module(), *wanted, time);
      host_.log().info("lines of " + request.module() + " are logged from " + to_string(*wanted) +
                           " on" + (time ? ", for a while" : ""),
                       context.call_id(), context.principal());
    }
  }
  v1::LogLevelResponse reply;
  for (const LogLevels::Row& row : levels.rows()) {
    if (host_.find_module(row.module) == nullptr) continue;
    if (!request.module().empty() && row.module != request.module()) continue;
    v1::ModuleLogLevel* one = reply.add_levels();
    one->set_module(row.module);
    one->set_level(to_string(wanted.value_or(row.level)));
    if (row.until) set_time(*row.until, one->mutable_until());
  }
  return reply;
}

}  // namespace imctl::host
