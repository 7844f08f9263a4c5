#include "core/audit_log.h"

#include <pthread.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <utility>
#include <vector>

#include "core/sha256.h"
#include "road/timer.h"

namespace imctl::host {
namespace {

using SteadyClock = std::chrono::steady_clock;

constexpr std::chrono::seconds kRetry{1};
constexpr std::chrono::minutes kBetweenWords{1};

SteadyClock::time_point at(int64_t monotonic) {
  const int64_t left = std::clamp<int64_t>(monotonic - monotonic_now(), 0, AuditRefusals::kPeriod);
  return SteadyClock::now() + std::chrono::nanoseconds(left);
}

}  // namespace

AuditLog::AuditLog(std::string folder, Metrics* metrics, Tell tell)
    : folder_(std::move(folder)),
      tell_(std::move(tell)),
      written_counter_(metrics->get(IMCTL_COUNTER, "imctl_audit_records_total", "",
                                    "Records that were written to the audit log")),
      lost_counter_(metrics->get(IMCTL_COUNTER, "imctl_audit_lost_records_total", "",
                                 "Records that could not be written to the audit log")),
      writer_(folder_) {}

AuditLog::~AuditLog() {
  if (!thread_.joinable()) return;
  {
    std::lock_guard lock(mutex_);
    running_ = false;
  }
  wake_.notify_all();
  thread_.join();
}

void AuditLog::configure(const AuditOptions& options) {
  std::lock_guard lock(mutex_);
  options_ = options;
}

void AuditLog::start(AuditRecord record) {
  std::lock_guard lock(mutex_);
  running_ = true;
  if (ready() && !last_kind_.empty() && last_kind_ != AuditRecord::kStop) {
    record.message = "the host before did not stop in order";
  }
  (void)write(std::move(record));
  if (open_) tell_(IMCTL_LOG_INFO, "audit log: goes on at " + head_.text());
  thread_ = std::thread([this] { loop(); });
}

void AuditLog::stop(AuditRecord record) {
  {
    std::lock_guard lock(mutex_);
    if (!running_) return;
    for (AuditRefusals* refusals : {&refused_, &strangers_}) {
      for (AuditRecord& one : refusals->take()) (void)write(std::move(one));
    }
    (void)write(std::move(record));
    running_ = false;
  }
  wake_.notify_all();
  thread_.join();
  // What an operator may compare `audit verify` with later.
  if (open_) tell_(IMCTL_LOG_INFO, "audit log: ends at " + head_.text());
}

void AuditLog::add(AuditRecord record) {
  {
    std::lock_guard lock(mutex_);
    if (!running_) return;
    (void)write(std::move(record));
  }
  wake_.notify_all();
}

void AuditLog::refuse(AuditRecord record) {
  {
    std::lock_guard lock(mutex_);
    if (!running_) return;
    AuditRefusals& refusals = record.user_kind == "none" ? strangers_ : refused_;
    const int64_t next = refusals.next();
    std::optional<AuditRecord> now = refusals.add(std::move(record), monotonic_now());
    if (now) (void)write(std::move(*now));
    if (!now && refusals.next() == next) return;
  }
  wake_.notify_all();
}

AuditHead AuditLog::head() const {
  std::lock_guard lock(mutex_);
  return head_;
}

std::string AuditLog::problem() const {
  std::lock_guard lock(mutex_);
  if (lost_ > 0) {
    return "the audit log cannot be written, and " + std::to_string(lost_) +
           " records are lost so far: " + why_;
  }
  if (!unsynced_.empty())
    return "records of the audit log may not outlast a power cut: " + unsynced_;
  return {};
}

// ---- under the lock

bool AuditLog::open() {
  if (open_) return true;
  Result<AuditWriter::End> end = writer_.open();
  if (!end.ok()) {
    why_ = end.status().message();
    return false;
  }
  open_ = true;
  head_ = {end->sequence, end->hash};
  last_kind_ = end->kind;
  if (end->torn == 0) return true;
  AuditRecord torn;
  torn.time = std::chrono::system_clock::now();
  torn.kind = AuditRecord::kTorn;
  torn.message = "behind the last record were " + std::to_string(end->torn) +
                 " bytes that are none, as a crash leaves them: they are in " + end->torn_file;
  tell_(IMCTL_LOG_WARN, "audit log: " + torn.message);
  (void)write(std::move(torn));
  return true;
}

// Can be written now, and what was lost is said.
bool AuditLog::ready() {
  if (!open()) return false;
  if (lost_ == 0) return true;
  AuditRecord lost;
  lost.time = std::chrono::system_clock::now();
  lost.kind = AuditRecord::kLost;
  lost.message = "records that could not be written: " + why_;
  lost.count = lost_;
  const uint64_t count = std::exchange(lost_, 0);
  if (!write(std::move(lost))) {
    lost_ = count;  // that one is none of them
    return false;
  }
  tell_(IMCTL_LOG_WARN,
        "audit log: it is written again; " + std::to_string(count) + " records are lost");
  return true;
}

bool AuditLog::write(AuditRecord record) {
  const bool of_the_log = record.kind == AuditRecord::kLost || record.kind == AuditRecord::kTorn;
  if (!of_the_log && !ready()) {
    lose(Status(IMCTL_UNAVAILABLE, why_));
    return false;
  }
  record.sequence = head_.sequence + 1;
  const std::string line = to_line(record, head_.hash);
  Status status = writer_.append(line, record.sequence, options_);
  if (!status.ok()) {
    if (of_the_log) {
      why_ = status.message();
    } else {
      lose(status);
    }
    return false;
  }
  head_ = {record.sequence, sha256_hex(line)};
  written_counter_->add(1);
  dirty_ = true;
  wakes_.came();
  return true;
}

void AuditLog::lose(const Status& why) {
  ++lost_;
  lost_counter_->add(1);
  why_ = why.message();
  const auto now = SteadyClock::now();
  if (lost_ > 1 && now - told_ < kBetweenWords) return;
  told_ = now;
  tell_(IMCTL_LOG_ERROR, "audit log: records cannot be written, " + std::to_string(lost_) +
                             " are lost so far: " + why_ + ". Make room, or make " + folder_ +
                             " writable");
}

// ---- the thread of its own

void AuditLog::loop() {
  pthread_setname_np(pthread_self(), "audit");
  std::unique_lock lock(mutex_);
  for (;;) {
    auto until = at(std::min(refused_.next(), strangers_.next()));
    if (lost_ > 0) until = std::min<SteadyClock::time_point>(until, SteadyClock::now() + kRetry);
    if (!dirty_ && running_) wake_.wait_until(lock, until);
    if (dirty_) {
      // More may come meanwhile, and share the one that follows.
      wake_.wait_for(lock, kSyncAfter, [this] { return !running_; });
      dirty_ = false;
      const std::shared_ptr<AuditFd> file = writer_.file();
      lock.unlock();
      const int error = file != nullptr && ::fdatasync(file->get()) != 0 ? errno : 0;
      lock.lock();
      if (error != 0 && unsynced_.empty()) {
        tell_(IMCTL_LOG_ERROR,
              std::string("audit log: it cannot be synced to the disk: ") + std::strerror(error));
      }
      unsynced_ = error == 0 ? "" : std::strerror(error);
    }
    if (!running_ && !dirty_) return;
    if (lost_ > 0) (void)ready();
    const int64_t now = monotonic_now();
    for (AuditRefusals* refusals : {&refused_, &strangers_}) {
      for (AuditRecord& one : refusals->due(now)) (void)write(std::move(one));
    }
  }
}

}  // namespace imctl::host
