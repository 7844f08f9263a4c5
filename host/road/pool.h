// A module's own bounded pool of threads, for work that may block. Threads start when there is
// work.
#ifndef IMCTL_HOST_ROAD_POOL_H
#define IMCTL_HOST_ROAD_POOL_H

#include <condition_variable>
#include <cstddef>
#include <deque>
#include <functional>
#include <mutex>
#include <string>
#include <thread>
#include <utility>
#include <vector>

namespace imctl::host {

class Pool {
 public:
  struct Limits {
    size_t threads = 4;
    size_t queue = 16384;            // pieces of work that wait
    size_t queue_bytes = 64u << 20;  // of what they say they hold

    bool operator==(const Limits&) const = default;
  };

  Pool(std::string name, Limits limits) : name_(std::move(name)), limits_(limits) {}
  Pool(const Pool&) = delete;
  Pool& operator=(const Pool&) = delete;
  ~Pool() { stop(); }

  // For each thread, how many more there may be for nested work.
  static constexpr size_t kNesting = 16;

  // Runs work(user) on one of the threads. False if the queue is full or the pool was stopped.
  // `bytes`: what the work holds on to while it waits. `nested`: work that other work of this pool
  // may be waiting for; it has threads of its own, so that a circle of modules that wait for each
  // other does not come to a halt.
  bool post(void (*work)(void* user), void* user, size_t bytes = 0, bool nested = false);

  struct Load {
    size_t threads = 0, idle = 0, queue = 0, bytes = 0;  // bytes: that the queue holds on to
  };
  Load load();

  // Is the calling thread one of this pool's?
  bool on_thread() const;

  // Who is told what work threw. Before the first work.
  void on_throw(std::function<void(const std::string&)> told) { on_throw_ = std::move(told); }

  // Runs what was accepted, then joins. Not from a thread of its own.
  void stop();
  // Takes work again after a stop.
  void open();

 private:
  struct Work {
    void (*run)(void*);
    void* user;
    size_t bytes;
  };
  struct Lane {
    size_t threads_limit;
    std::deque<Work> queue;
    size_t bytes = 0;
    size_t idle = 0;
    size_t threads = 0;
    std::condition_variable wake;
  };
  void work_loop(Lane& lane);

  const std::string name_;
  const Limits limits_;
  std::function<void(const std::string&)> on_throw_;
  std::mutex mutex_;
  Lane outer_{limits_.threads, {}, 0, 0, 0, {}};
  Lane nested_{limits_.threads * kNesting, {}, 0, 0, 0, {}};
  bool stopped_ = false;
  std::vector<std::thread> threads_;
};

}  // namespace imctl::host

#endif  // IMCTL_HOST_ROAD_POOL_H
