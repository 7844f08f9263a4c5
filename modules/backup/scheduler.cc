#include "scheduler.h"

#include <pthread.h>

#include <algorithm>
#include <utility>

#include "backups_service.h"
#include "disk.h"
#include "maker.h"

namespace imctl::backup {
namespace {

// How often the clock is looked at: it may be set, and a machine may sleep.
constexpr std::chrono::seconds kTick{1};
// After one that failed, the next try.
constexpr std::chrono::minutes kRetry{5};

WallTime now() {
  return std::chrono::time_point_cast<std::chrono::seconds>(std::chrono::system_clock::now());
}

WallTime to_time(const google::protobuf::Timestamp& time) {
  return WallTime(std::chrono::seconds(time.seconds()));
}

google::protobuf::Timestamp to_stamp(WallTime time) {
  google::protobuf::Timestamp stamp;
  stamp.set_seconds(time.time_since_epoch().count());
  return stamp;
}

}  // namespace

void Scheduler::start() {
  {
    std::lock_guard lock(mutex_);
    stopping_ = false;
    read_state();
  }
  thread_ = std::thread([this] { run(); });
  pthread_setname_np(thread_.native_handle(), "backup-schedule");
}

void Scheduler::stop() {
  {
    std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  wake_.notify_all();
  if (thread_.joinable()) thread_.join();
}

void Scheduler::wait() {
  std::unique_lock lock(mutex_);
  wake_.wait(lock, [this] { return running_.empty(); });
}

void Scheduler::wake() { wake_.notify_all(); }

void Scheduler::run() {
  std::unique_lock lock(mutex_);
  while (!stopping_) {
    lock.unlock();
    look();
    lock.lock();
    wake_.wait_for(lock, kTick, [this] { return stopping_; });
  }
}

// With mutex_ held. An entry that is new counts from when it was first seen; one that failed is
// tried again soon.
WallTime Scheduler::due(const ScheduleTime& time) {
  v1::ScheduledRun& run = (*state_.mutable_runs())[time.text()];
  if (!run.has_first_seen()) {
    *run.mutable_first_seen() = to_stamp(now());
    write_state();
  }
  const WallTime next =
      time.next(to_time(run.has_last_success() ? run.last_success() : run.first_seen()));
  if (run.last_error().empty() || !run.has_last_start()) return next;
  return std::max(next, to_time(run.last_start()) + kRetry);
}

void Scheduler::look() {
  const std::shared_ptr<const Options> options = core_->options();
  std::unique_lock lock(mutex_);
  tell_health();
  if (!running_.empty() || stopping_) return;
  for (const ScheduleTime& time : options->schedule) {
    if (due(time) > now()) continue;
    v1::ScheduledRun& run = (*state_.mutable_runs())[time.text()];
    const bool incremental = run.incrementals() < options->incrementals &&
                             !run.last_backup().empty() && options->command.empty();
    *run.mutable_last_start() = to_stamp(now());
    write_state();
    running_ = time.text();
    const std::string since = incremental ? run.last_backup() : std::string();
    lock.unlock();
    make(time.text(), incremental, since);
    return;
  }
}

detail::Detached Scheduler::make(std::string entry, bool incremental, std::string since) {
  auto stop = [this]() -> Task<Status> {
    std::lock_guard lock(mutex_);
    co_return stopping_ ? Status(IMCTL_UNAVAILABLE, "the host stops") : Status();
  };
  MakeRequest request;
  request.since = since;
  request.reason = "schedule: " + entry;
  MakeCaller caller;
  caller.progress = [&](uint64_t) { return stop(); };
  Result<v1::CreateBackupResponse> outcome = co_await make_backup(core_, request, caller);
  // What it was to stand on may be gone, or be no good.
  if (!outcome.ok() && incremental && outcome.status().code() != IMCTL_UNAVAILABLE) {
    incremental = false;
    request.since.clear();
    outcome = co_await make_backup(core_, request, caller);
  }
  if (outcome.ok()) {
    const std::vector<KeepRule> keep = core_->options()->keep;
    if (Status status = co_await on_slow_pool(core_->host); status.ok() && !keep.empty()) {
      Result<std::vector<v1::Backup>> removed = prune_backups(*core_, keep, false);
      if (!removed.ok()) {
        core_->host.warn("old backups cannot be removed: " + removed.status().message());
      }
    }
  }
  made(entry, incremental, outcome);
}

void Scheduler::made(const std::string& entry, bool incremental,
                     const Result<v1::CreateBackupResponse>& outcome) {
  std::lock_guard lock(mutex_);
  v1::ScheduledRun& run = (*state_.mutable_runs())[entry];
  if (outcome.ok()) {
    *run.mutable_last_success() = to_stamp(now());
    run.set_last_backup(outcome->id());
    run.clear_last_error();
    run.set_incrementals(incremental ? run.incrementals() + 1 : 0);
  } else if (!stopping_) {
    run.set_last_error(outcome.status().message());
  }
  write_state();
  running_.clear();
  wake_.notify_all();
}

std::string Scheduler::problem_of(const ScheduleTime& time, WallTime at) {
  auto found = state_.runs().find(time.text());
  if (found == state_.runs().end()) return {};
  const v1::ScheduledRun& run = found->second;
  if (!run.last_error().empty()) {
    return "the backup `" + time.text() + "` failed: " + run.last_error();
  }
  const WallTime since = to_time(run.has_last_success() ? run.last_success() : run.first_seen());
  if (at > time.next(since) + core_->options()->grace) {
    return "the backup `" + time.text() + "` was missed: there is none since " +
           std::to_string((at - since).count() / 60) + " minutes";
  }
  return {};
}

std::string Scheduler::problem() {
  std::lock_guard lock(mutex_);
  for (const ScheduleTime& time : core_->options()->schedule) {
    std::string problem = problem_of(time, now());
    if (!problem.empty()) return problem;
  }
  return {};
}

// With mutex_ held.
void Scheduler::tell_health() {
  std::string problem;
  for (const ScheduleTime& time : core_->options()->schedule) {
    problem = problem_of(time, now());
    if (!problem.empty()) break;
  }
  // The minutes in it change; that is no news.
  if (problem.empty() == told_.empty()) return;
  if (!problem.empty()) {
    core_->host.warn(problem);
    if (problem.find(" was missed: ") != std::string::npos) core_->missed.add();
  } else {
    core_->host.info("backups are made as the schedule says again");
  }
  core_->host.set_health(problem.empty(), problem);
  told_ = std::move(problem);
}

v1::ScheduleResponse Scheduler::describe() {
  const std::shared_ptr<const Options> options = core_->options();
  v1::ScheduleResponse response;
  std::lock_guard lock(mutex_);
  for (const ScheduleTime& time : options->schedule) {
    v1::ScheduleEntry* entry = response.add_entries();
    entry->set_when(time.text());
    *entry->mutable_next() = to_stamp(due(time));
    const v1::ScheduledRun& run = state_.runs().at(time.text());
    if (run.has_last_start()) *entry->mutable_last_start() = run.last_start();
    if (run.has_last_success()) *entry->mutable_last_success() = run.last_success();
    entry->set_last_backup(run.last_backup());
    entry->set_problem(problem_of(time, now()));
    const bool failed = !run.last_error().empty();
    entry->set_state(running_ == time.text()     ? "running"
                     : failed                    ? "failed"
                     : !entry->problem().empty() ? "missed"
                                                 : "waiting");
  }
  return response;
}

// With mutex_ held.
void Scheduler::read_state() {
  if (std::exchange(read_, true)) return;
  Result<std::string> bytes = read_small(core_->options()->data_dir + "/schedule");
  if (bytes.ok() && !state_.ParseFromString(*bytes)) state_.Clear();
}

void Scheduler::write_state() {
  // Entries that are not in the settings any more.
  std::vector<std::string> gone;
  for (const auto& [text, run] : state_.runs()) {
    const std::vector<ScheduleTime> schedule = core_->options()->schedule;
    const std::string& name = text;
    if (std::none_of(schedule.begin(), schedule.end(),
                     [&name](const ScheduleTime& time) { return time.text() == name; })) {
      gone.push_back(text);
    }
  }
  for (const std::string& text : gone) state_.mutable_runs()->erase(text);
  Status status =
      replace_small(core_->options()->data_dir + "/schedule", state_.SerializeAsString());
  if (!status.ok()) {
    core_->host.warn("when backups were made cannot be noted: " + status.message());
  }
}

}  // namespace imctl::backup
