#include "road/pool.h"

#include <pthread.h>

#include <utility>

#include "road/contain.h"

namespace imctl::host {
namespace {
thread_local const Pool* current_pool = nullptr;
}

bool Pool::post(void (*work)(void* user), void* user, size_t bytes, bool nested) {
  std::lock_guard lock(mutex_);
  Lane& lane = nested ? nested_ : outer_;
  // A piece larger than the whole bound still passes when it is the only one.
  if (stopped_ || lane.queue.size() >= limits_.queue ||
      (lane.bytes != 0 && lane.bytes + bytes > limits_.queue_bytes)) {
    return false;
  }
  lane.queue.push_back({work, user, bytes});
  lane.bytes += bytes;
  if (lane.idle < lane.queue.size() && lane.threads < lane.threads_limit) {
    ++lane.threads;
    threads_.emplace_back([this, &lane] { work_loop(lane); });
  }
  lane.wake.notify_one();
  return true;
}

Pool::Load Pool::load() {
  std::lock_guard lock(mutex_);
  return {outer_.threads + nested_.threads, outer_.idle + nested_.idle,
          outer_.queue.size() + nested_.queue.size(), outer_.bytes + nested_.bytes};
}

bool Pool::on_thread() const { return current_pool == this; }

void Pool::work_loop(Lane& lane) {
  current_pool = this;
  pthread_setname_np(pthread_self(), name_.substr(0, 15).c_str());
  std::unique_lock lock(mutex_);
  for (;;) {
    ++lane.idle;
    lane.wake.wait(lock, [&] { return stopped_ || !lane.queue.empty(); });
    --lane.idle;
    if (lane.queue.empty()) return;
    Work work = lane.queue.front();
    lane.queue.pop_front();
    lane.bytes -= work.bytes;
    lock.unlock();
    contain(
        "work on its pool", [&] { work.run(work.user); }, on_throw_);
    lock.lock();
  }
}

void Pool::stop() {
  std::vector<std::thread> threads;
  {
    std::lock_guard lock(mutex_);
    stopped_ = true;
    threads.swap(threads_);
    outer_.wake.notify_all();
    nested_.wake.notify_all();
  }
  for (std::thread& thread : threads) thread.join();
  std::lock_guard lock(mutex_);
  outer_.threads = 0;
  nested_.threads = 0;
}

void Pool::open() {
  std::lock_guard lock(mutex_);
  stopped_ = false;
}

}  // namespace imctl::host
