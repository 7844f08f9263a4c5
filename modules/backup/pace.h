// How fast work may go that has time: at full speed while the processors have nothing else to do,
// and with long pauses while they are busy, so that others hardly notice it.
#ifndef IMCTL_BACKUP_PACE_H
#define IMCTL_BACKUP_PACE_H

#include <chrono>
#include <cstdint>

namespace imctl::backup {

// One thread at a time.
class Pace {
 public:
  using Clock = std::chrono::steady_clock;

  // After a piece of work: how long to pause before the next. `rate`: bytes a second at most; 0: no
  // limit. `yields`: pauses while the processors are busy.
  Clock::duration after(uint64_t bytes, uint64_t rate, bool yields);

 private:
  // Of all processors, since the last look.
  bool busy();

  Clock::time_point begun_ = Clock::now();
  Clock::time_point piece_ = begun_;
  Clock::time_point looked_;
  uint64_t idle_ = 0;
  uint64_t total_ = 0;
  uint64_t bytes_ = 0;
  bool busy_ = false;
};

}  // namespace imctl::backup

#endif  // IMCTL_BACKUP_PACE_H
