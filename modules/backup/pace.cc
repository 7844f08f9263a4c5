#include "pace.h"

#include <algorithm>
#include <fstream>
#include <string>

namespace imctl::backup {
namespace {

constexpr std::chrono::milliseconds kBetweenLooks{50};
// Busy: less than a tenth of the time is idle. Then it takes a tenth of the time itself.
constexpr uint64_t kIdleShare = 10;
constexpr int kPause = 9;
constexpr std::chrono::milliseconds kLongest{1000};

}  // namespace

bool Pace::busy() {
  const Clock::time_point now = Clock::now();
  if (now - looked_ < kBetweenLooks) return busy_;
  looked_ = now;
  std::ifstream stat("/proc/stat");
  std::string name;
  stat >> name;
  uint64_t total = 0;
  uint64_t idle = 0;
  uint64_t value = 0;
  // user, nice, system, idle, waiting for the disk, ...
  for (int i = 0; i < 8 && stat >> value; ++i) {
    total += value;
    if (i == 3 || i == 4) idle += value;
  }
  const uint64_t passed = total - total_;
  if (passed > 0) busy_ = total_ != 0 && (idle - idle_) * kIdleShare < passed;
  total_ = total;
  idle_ = idle;
  return busy_;
}

Pace::Clock::duration Pace::after(uint64_t bytes, uint64_t rate, bool yields) {
  bytes_ += bytes;
  const Clock::time_point now = Clock::now();
  Clock::duration pause{0};
  if (yields && busy()) pause = kPause * (now - piece_);
  if (rate > 0) {
    const std::chrono::duration<double> due(static_cast<double>(bytes_) /
                                            static_cast<double>(rate));
    pause = std::max(pause, std::chrono::duration_cast<Clock::duration>(due) - (now - begun_));
  }
  pause = std::clamp<Clock::duration>(pause, Clock::duration(0), kLongest);
  piece_ = now + pause;
  return pause;
}

}  // namespace imctl::backup
