// The audit log: who did what on this host, and who was refused. Files of JSON lines that only
// grow, in a chain of hashes (audit_record.h), so that what is changed afterwards shows.
//
// Administration goes on whatever happens to it: a record that cannot be written is counted,
// loudly, and as soon as writing works again a record says how many were lost.
#ifndef IMCTL_HOST_CORE_AUDIT_LOG_H
#define IMCTL_HOST_CORE_AUDIT_LOG_H

#include <condition_variable>
#include <cstdint>
#include <functional>
#include <mutex>
#include <string>
#include <thread>

#include "core/audit_files.h"
#include "core/audit_reader.h"
#include "core/audit_record.h"
#include "core/audit_refusals.h"
#include "core/wakes.h"
#include "imctl/module.h"
#include "imctl/status.h"
#include "road/metrics.h"

namespace imctl::host {

// All of it from any thread.
class AuditLog {
 public:
  using Tell = std::function<void(imctl_log_level, const std::string&)>;

  // `tell`: the host's log. Nothing is read or written yet.
  AuditLog(std::string folder, Metrics* metrics, Tell tell);
  AuditLog(const AuditLog&) = delete;
  AuditLog& operator=(const AuditLog&) = delete;
  ~AuditLog();

  void configure(const AuditOptions& options);

  // Finds the end of the chain, and from then on takes records. The first says that the host
  // started.
  void start(AuditRecord record);
  // The last one says that it stopped; all is on the disk then. Nothing is taken any more.
  void stop(AuditRecord record);

  // Written when this returns, by one write(2): kill -9 does not lose it. On the disk at most
  // kSyncAfter later. Its sequence is given here.
  void add(AuditRecord record);
  // The same of what a stranger can repeat without end: see AuditRefusals.
  void refuse(AuditRecord record);

  static constexpr std::chrono::milliseconds kSyncAfter{100};

  const std::string& folder() const { return folder_; }
  // Of the last record that was written here; sequence 0: none was.
  AuditHead head() const;
  // Why records are not kept as they should be; empty: they are.
  std::string problem() const;
  Wakes& wakes() { return wakes_; }

 private:
  void loop();
  // All of these under the lock.
  bool ready();
  bool open();
  bool write(AuditRecord record);
  void lose(const Status& why);

  const std::string folder_;
  const Tell tell_;
  Metric* const written_counter_;
  Metric* const lost_counter_;

  mutable std::mutex mutex_;
  std::condition_variable wake_;
  AuditOptions options_;
  AuditWriter writer_;
  AuditHead head_{0, kNoAuditLine};
  bool running_ = false;
  bool open_ = false;
  std::string last_kind_;
  uint64_t lost_ = 0;  // not yet in a record
  std::string why_;    // they were
  std::string unsynced_;
  std::chrono::steady_clock::time_point told_;
  bool dirty_ = false;
  AuditRefusals refused_;
  AuditRefusals strangers_;  // apart, so that they cannot crowd out who is known
  Wakes wakes_;
  std::thread thread_;
};

}  // namespace imctl::host

#endif  // IMCTL_HOST_CORE_AUDIT_LOG_H
