#include "core/log_ring.h"

#include <pthread.h>

#include <algorithm>
#include <utility>

namespace imctl::host {
namespace {

// Between two wakes, so that a flood costs its readers no more than a stream does.
constexpr std::chrono::milliseconds kBetween{20};

}  // namespace

LogRing::~LogRing() {
  {
    std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  wake_.notify_all();
  if (thread_.joinable()) thread_.join();
}

void LogRing::set_limit(size_t bytes) {
  std::lock_guard lock(mutex_);
  limit_ = bytes;
  shrink();
}

// Under the lock.
void LogRing::shrink() {
  while (bytes_ > limit_ && records_.size() > 1) {
    bytes_ -= records_.front()->bytes();
    records_.pop_front();
    ++first_;
  }
}

void LogRing::push(LogRecord record) {
  auto made = std::make_shared<const LogRecord>(std::move(record));
  bool wake = false;
  {
    std::lock_guard lock(mutex_);
    bytes_ += made->bytes();
    records_.push_back(std::move(made));
    shrink();
    wake = !std::exchange(came_, true) && !watches_.empty();
  }
  if (wake) wake_.notify_one();
}

uint64_t LogRing::first() const {
  std::lock_guard lock(mutex_);
  return first_;
}

uint64_t LogRing::next() const {
  std::lock_guard lock(mutex_);
  return first_ + records_.size();
}

uint64_t LogRing::read(uint64_t* from, size_t count, std::vector<Record>* lines) const {
  std::lock_guard lock(mutex_);
  uint64_t lost = *from < first_ ? first_ - *from : 0;
  *from += lost;
  for (size_t at = *from - first_; at < records_.size() && count > 0; ++at, --count) {
    lines->push_back(records_[at]);
    ++*from;
  }
  return lost;
}

uint64_t LogRing::watch(std::function<void()> wake) {
  std::lock_guard lock(mutex_);
  if (!thread_.joinable()) thread_ = std::thread([this] { loop(); });
  watches_[++next_watch_] = std::make_shared<std::function<void()>>(std::move(wake));
  came_ = false;
  return next_watch_;
}

void LogRing::unwatch(uint64_t watch) {
  std::lock_guard lock(mutex_);
  watches_.erase(watch);
}

void LogRing::loop() {
  pthread_setname_np(pthread_self(), "log-readers");
  std::unique_lock lock(mutex_);
  for (;;) {
    wake_.wait(lock, [this] { return stopping_ || (came_ && !watches_.empty()); });
    if (stopping_) return;
    came_ = false;
    std::vector<std::shared_ptr<std::function<void()>>> wakes;
    for (const auto& [watch, wake] : watches_) wakes.push_back(wake);
    lock.unlock();
    for (const auto& wake : wakes) (*wake)();
    lock.lock();
    wake_.wait_for(lock, kBetween, [this] { return stopping_; });
  }
}

}  // namespace imctl::host
