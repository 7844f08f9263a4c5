// Loop: one logical thread. Events are told from any thread and handled one after the other, by
// whichever thread brought one while nobody was at it: no thread is woken, and under load many
// events are handled together. So what belongs to the loop needs no lock.
#ifndef IMCTL_ROUTER_LOOP_H
#define IMCTL_ROUTER_LOOP_H

#include <condition_variable>
#include <functional>
#include <map>
#include <mutex>
#include <thread>
#include <vector>

#include "router/core/types.h"

namespace imctl::router {

class Loop {
 public:
  using Event = std::function<void(Time now)>;
  // After some events: does what follows from them, and says when it is to be called again although
  // nothing happened; kNever.
  using Turn = std::function<Time(Time now)>;

  explicit Loop(Turn turn) : turn_(std::move(turn)) {}
  Loop(const Loop&) = delete;
  Loop& operator=(const Loop&) = delete;
  ~Loop() { stop(); }

  // The thread that keeps the time; what was posted before is handled then.
  void start();
  // Waits until nobody is at it. Events are handled still, the time is not kept any more.
  void stop();

  // From any thread, from an event too. May handle this one and others before it returns.
  void post(Event event);
  // The same at that time, unless the loop stops before.
  void post_at(Time when, Event event);

  // Milliseconds of the monotonic clock.
  static Time now();

 private:
  void run();
  void keep_time();

  const Turn turn_;
  std::mutex mutex_;
  std::condition_variable wake_;
  std::vector<Event> waiting_;     // guarded by mutex_
  std::multimap<Time, Event> at_;  // guarded by mutex_
  bool running_ = false;           // somebody is at it; guarded by mutex_
  Time next_ = kNever;             // guarded by mutex_
  bool stopping_ = true;           // guarded by mutex_
  std::vector<Event> batch_;       // of who runs
  std::thread thread_;
};

}  // namespace imctl::router

#endif  // IMCTL_ROUTER_LOOP_H
