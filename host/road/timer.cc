#include "road/timer.h"

#include <chrono>

namespace imctl::host {

int64_t monotonic_now() {
  // libstdc++'s steady clock is CLOCK_MONOTONIC.
  return std::chrono::duration_cast<std::chrono::nanoseconds>(
             std::chrono::steady_clock::now().time_since_epoch())
      .count();
}

Timer::~Timer() { stop(); }

void Timer::stop() {
  {
    std::lock_guard lock(mutex_);
    stopped_ = true;
    wake_.notify_all();
  }
  if (thread_.joinable()) thread_.join();
}

Timer::Id Timer::at(int64_t when, std::function<void()> task) {
  std::lock_guard lock(mutex_);
  Id id{when, next_++};
  bool first = tasks_.empty() || id < tasks_.begin()->first;
  tasks_.emplace(id, std::move(task));
  if (!stopped_ && !thread_.joinable()) thread_ = std::thread([this] { loop(); });
  if (first) wake_.notify_one();
  return id;
}

void Timer::cancel(const Id& id) {
  std::function<void()> dropped;  // destroyed outside the lock
  std::lock_guard lock(mutex_);
  auto found = tasks_.find(id);
  if (found == tasks_.end()) return;
  dropped = std::move(found->second);
  tasks_.erase(found);
}

void Timer::loop() {
  std::unique_lock lock(mutex_);
  while (!stopped_) {
    if (tasks_.empty()) {
      wake_.wait(lock);
      continue;
    }
    int64_t when = tasks_.begin()->first.first;
    if (monotonic_now() < when) {
      wake_.wait_until(lock, std::chrono::steady_clock::time_point(std::chrono::nanoseconds(when)));
      continue;
    }
    std::function<void()> task = std::move(tasks_.begin()->second);
    tasks_.erase(tasks_.begin());
    lock.unlock();
    task();
    task = nullptr;
    lock.lock();
  }
}

}  // namespace imctl::host
