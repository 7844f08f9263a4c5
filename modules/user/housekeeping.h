// What there is to do from time to time: write when users were last seen, remove tokens that have
// expired, end what disabled users only for a while.
#ifndef IMCTL_USER_HOUSEKEEPING_H
#define IMCTL_USER_HOUSEKEEPING_H

#include <condition_variable>
#include <mutex>

#include "core.h"

namespace imctl::user {

class Housekeeping {
 public:
  explicit Housekeeping(Core* core) : core_(core) {}

  void begin();
  // From one thread, between begin and finish.
  void tick();
  // Nothing more begins, but that what is left is written, if `write`.
  void finish(bool write);
  // After finish: until nothing runs any more.
  void wait();
  void report(State& state) const;

 private:
  using Clock = std::chrono::steady_clock;

  detail::Detached run(bool last);
  Task<Status> clean(bool last);
  Task<Status> end_what_is_over(int64_t now);

  Core* const core_;
  mutable std::mutex mutex_;
  std::condition_variable idle_;
  Clock::time_point last_;  // guarded by mutex_
  int running_ = 0;         // guarded by mutex_
  bool stopping_ = false;   // guarded by mutex_
  uint64_t removed_ = 0;    // tokens; guarded by mutex_
  uint64_t ended_ = 0;      // times of users who were disabled; guarded by mutex_
  std::string problem_;     // guarded by mutex_
};

}  // namespace imctl::user

#endif  // IMCTL_USER_HOUSEKEEPING_H
