#include "core/wakes.h"

#include <pthread.h>

#include <chrono>
#include <utility>
#include <vector>

namespace imctl::host {
namespace {

// Between two wakes, so that a flood costs its readers no more than a stream does.
constexpr std::chrono::milliseconds kBetween{20};

}  // namespace

Wakes::~Wakes() {
  {
    std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  wake_.notify_all();
  if (thread_.joinable()) thread_.join();
}

void Wakes::came() {
  bool wake = false;
  {
    std::lock_guard lock(mutex_);
    wake = !std::exchange(came_, true) && !watches_.empty();
  }
  if (wake) wake_.notify_one();
}

uint64_t Wakes::watch(std::function<void()> wake) {
  std::lock_guard lock(mutex_);
  if (!thread_.joinable()) thread_ = std::thread([this] { loop(); });
  watches_[++next_watch_] = std::make_shared<std::function<void()>>(std::move(wake));
  came_ = false;
  return next_watch_;
}

void Wakes::unwatch(uint64_t watch) {
  std::lock_guard lock(mutex_);
  watches_.erase(watch);
}

void Wakes::loop() {
  pthread_setname_np(pthread_self(), "readers");
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
