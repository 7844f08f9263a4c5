// When backups are made by themselves: `every 6h`, `at 03:00`.
#ifndef IMCTL_BACKUP_SCHEDULE_H
#define IMCTL_BACKUP_SCHEDULE_H

#include <chrono>
#include <string>

#include "imctl/status.h"

namespace imctl::backup {

using WallTime = std::chrono::sys_seconds;

class ScheduleTime {
 public:
  static Result<ScheduleTime> parse(const std::string& text);
  // The next time after one: `every`, so long after it; `at`, when the clock of this machine shows
  // that, once a day. On a day that lacks that time the clock has jumped over it: then.
  WallTime next(WallTime after) const;
  const std::string& text() const { return text_; }

 private:
  std::string text_;
  std::chrono::seconds every_{0};  // 0: at
  int hour_ = 0;
  int minute_ = 0;
};

}  // namespace imctl::backup

#endif  // IMCTL_BACKUP_SCHEDULE_H
