// A thread that calls a function every 100 ms, and sooner when it is woken.
#ifndef IMCTL_LOCATIONS_TICKER_H
#define IMCTL_LOCATIONS_TICKER_H

#include <chrono>
#include <condition_variable>
#include <functional>
#include <mutex>
#include <thread>
#include <utility>

namespace imctl::locations {

class Ticker {
 public:
  ~Ticker() { stop(); }

  void start(std::function<void()> work) {
    stopping_ = woken_ = false;
    thread_ = std::thread([this, run = std::move(work)] { loop(run); });
  }
  void stop() {
    {
      std::lock_guard lock(mutex_);
      stopping_ = true;
    }
    wake_.notify_all();
    if (thread_.joinable()) thread_.join();
  }
  void wake() {
    {
      std::lock_guard lock(mutex_);
      if (std::exchange(woken_, true)) return;
    }
    wake_.notify_all();
  }
  // For a pause within the work. False: stop.
  bool pause(std::chrono::milliseconds time) {
    std::unique_lock lock(mutex_);
    return !wake_.wait_for(lock, time, [this] { return stopping_; });
  }
  bool stopping() {
    std::lock_guard lock(mutex_);
    return stopping_;
  }

 private:
  static constexpr std::chrono::milliseconds kTick{100};

  void loop(const std::function<void()>& work) {
    std::unique_lock lock(mutex_);
    while (!stopping_) {
      woken_ = false;
      lock.unlock();
      work();
      lock.lock();
      wake_.wait_for(lock, kTick, [this] { return stopping_ || woken_; });
    }
  }

  std::mutex mutex_;
  std::condition_variable wake_;
  bool stopping_ = false;  // guarded by mutex_
  bool woken_ = false;     // guarded by mutex_
  std::thread thread_;
};

}  // namespace imctl::locations

#endif  // IMCTL_LOCATIONS_TICKER_H
