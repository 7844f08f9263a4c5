// Makes the backups of the schedule, by itself, and says what went wrong.
#ifndef IMCTL_BACKUP_SCHEDULER_H
#define IMCTL_BACKUP_SCHEDULER_H

#include <condition_variable>
#include <mutex>
#include <string>
#include <thread>

#include "core.h"
#include "imctl/backup/v1/backups.pb.h"

namespace imctl::backup {

class Scheduler {
 public:
  explicit Scheduler(Core* core) : core_(core) {}

  void start();
  // No new backup begins; one that is being made ends soon, unfinished.
  void stop();
  // Until that has ended.
  void wait();
  // The settings may be others.
  void wake();

  v1::ScheduleResponse describe();
  // What is wrong; empty: nothing.
  std::string problem();

 private:
  void run();
  void look();
  detail::Detached make(std::string entry, bool incremental, std::string since);
  void made(const std::string& entry, bool incremental,
            const Result<v1::CreateBackupResponse>& outcome);
  // With mutex_ held.
  WallTime due(const ScheduleTime& time);
  std::string problem_of(const ScheduleTime& time, WallTime now);
  void read_state();
  void write_state();
  void tell_health();

  Core* const core_;
  std::mutex mutex_;
  std::condition_variable wake_;
  bool stopping_ = true;     // guarded by mutex_
  std::string running_;      // guarded by mutex_: the entry
  v1::ScheduleState state_;  // guarded by mutex_
  bool read_ = false;        // guarded by mutex_: state_ is
  std::string told_;         // guarded by mutex_: the problem that was told
  std::thread thread_;
};

}  // namespace imctl::backup

#endif  // IMCTL_BACKUP_SCHEDULER_H
