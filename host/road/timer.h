// Deadlines of calls that no front end watches: one thread, tasks by time.
#ifndef IMCTL_HOST_ROAD_TIMER_H
#define IMCTL_HOST_ROAD_TIMER_H

#include <condition_variable>
#include <cstdint>
#include <functional>
#include <map>
#include <mutex>
#include <thread>
#include <utility>

namespace imctl::host {

class Timer {
 public:
  using Id = std::pair<int64_t, uint64_t>;  // when, number

  Timer() = default;
  Timer(const Timer&) = delete;
  Timer& operator=(const Timer&) = delete;
  ~Timer();

  // Runs `task` on the timer's thread at `when` (nanoseconds of CLOCK_MONOTONIC). It must not
  // block.
  Id at(int64_t when, std::function<void()> task);
  // Forgets a task that has not begun.
  void cancel(const Id& id);
  // Forgets all tasks, also those that come; none runs when this returns. Not from a task.
  void stop();

 private:
  void loop();

  std::mutex mutex_;
  std::condition_variable wake_;
  std::map<Id, std::function<void()>> tasks_;
  uint64_t next_ = 0;
  bool stopped_ = false;
  std::thread thread_;
};

// Now, as deadlines count.
int64_t monotonic_now();

}  // namespace imctl::host

#endif  // IMCTL_HOST_ROAD_TIMER_H
