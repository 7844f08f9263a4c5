#include "loop.h"

#include <algorithm>
#include <chrono>
#include <utility>

namespace imctl::router {

Time Loop::now() {
  return std::chrono::duration_cast<std::chrono::milliseconds>(
             std::chrono::steady_clock::now().time_since_epoch())
      .count();
}

void Loop::start() {
  {
    std::lock_guard lock(mutex_);
    stopping_ = false;
  }
  thread_ = std::thread([this] { keep_time(); });
  post([](Time) {});
}

void Loop::stop() {
  {
    std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  wake_.notify_all();
  if (thread_.joinable()) thread_.join();
  std::unique_lock lock(mutex_);
  wake_.wait(lock, [this] { return !running_; });
}

void Loop::post(Event event) {
  {
    std::lock_guard lock(mutex_);
    waiting_.push_back(std::move(event));
    if (running_) return;
    running_ = true;
  }
  run();
}

void Loop::post_at(Time when, Event event) {
  {
    std::lock_guard lock(mutex_);
    at_.emplace(when, std::move(event));
  }
  // Whoever handles this sees when the next is due.
  post([](Time) {});
}

void Loop::run() {
  for (;;) {
    const Time time = now();
    {
      std::lock_guard lock(mutex_);
      if (waiting_.empty()) {
        running_ = false;
        if (stopping_) wake_.notify_all();
        return;
      }
      batch_.swap(waiting_);
      while (!at_.empty() && at_.begin()->first <= time) {
        batch_.push_back(std::move(at_.begin()->second));
        at_.erase(at_.begin());
      }
    }
    for (Event& event : batch_) event(time);
    batch_.clear();
    Time next = turn_(time);
    bool sooner = false;
    {
      std::lock_guard lock(mutex_);
      if (!at_.empty()) next = std::min(next, at_.begin()->first);
      sooner = next < next_;
      next_ = next;
    }
    if (sooner) wake_.notify_one();
  }
}

void Loop::keep_time() {
  std::unique_lock lock(mutex_);
  while (!stopping_) {
    const Time time = now();
    if (next_ <= time) {
      // Not again for the same: whoever handles this says when the next is due.
      next_ = kNever;
      lock.unlock();
      post([](Time) {});
      lock.lock();
    } else if (next_ == kNever) {
      wake_.wait(lock);
    } else {
      wake_.wait_for(lock, std::chrono::milliseconds(next_ - time));
    }
  }
}

}  // namespace imctl::router
