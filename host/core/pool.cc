#include "core/pool.h"

#include <pthread.h>

#include <utility>

namespace imctl::host {
namespace {
thread_local const Pool* current_pool = nullptr;
}

bool Pool::post(void (*work)(void* user), void* user, size_t bytes) {
  std::lock_guard lock(mutex_);
  // A piece larger than the whole bound still passes when it is the only one.
  if (stopped_ || queue_.size() >= limits_.queue ||
      (queue_bytes_ != 0 && queue_bytes_ + bytes > limits_.queue_bytes)) {
    return false;
  }
  queue_.push_back({work, user, bytes});
  queue_bytes_ += bytes;
  if (idle_ < queue_.size() && threads_.size() < limits_.threads) {
    threads_.emplace_back([this] { work_loop(); });
  }
  wake_.notify_one();
  return true;
}

bool Pool::on_thread() const { return current_pool == this; }

void Pool::work_loop() {
  current_pool = this;
  pthread_setname_np(pthread_self(), name_.substr(0, 15).c_str());
  std::unique_lock lock(mutex_);
  for (;;) {
    ++idle_;
    wake_.wait(lock, [this] { return stopped_ || !queue_.empty(); });
    --idle_;
    if (queue_.empty()) return;
    Work work = queue_.front();
    queue_.pop_front();
    queue_bytes_ -= work.bytes;
    lock.unlock();
    work.run(work.user);
    lock.lock();
  }
}

void Pool::stop() {
  std::vector<std::thread> threads;
  {
    std::lock_guard lock(mutex_);
    stopped_ = true;
    threads.swap(threads_);
    wake_.notify_all();
  }
  for (std::thread& thread : threads) thread.join();
}

}  // namespace imctl::host
