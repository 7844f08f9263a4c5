#include "writer.h"

#include <pthread.h>

#include <string>
#include <utility>

namespace imctl::storage {
namespace {

using Clock = std::chrono::steady_clock;

}  // namespace

Writer::Writer(std::unique_ptr<Store> store, const Options& options, const WriterMetrics& metrics,
               Scheduled scheduled, void* user)
    : store_(std::move(store)),
      max_bytes_(options.queue_bytes),
      clean_interval_(options.clean_interval),
      metrics_(metrics),
      scheduled_(scheduled),
      user_(user),
      thread_([this] { loop(); }) {
  pthread_setname_np(thread_.native_handle(), "sqlite-writer");
}

Writer::~Writer() {
  {
    std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  wake_.notify_one();
  thread_.join();
}

bool Writer::enter(std::unique_ptr<Job>& job) {
  const size_t size = job->bytes();
  std::lock_guard lock(mutex_);
  if (bytes_ != 0 && bytes_ + size > max_bytes_) return false;
  bytes_ += size;
  metrics_.queue_bytes.set(static_cast<double>(bytes_));
  waiting_.push_back(std::move(job));
  return true;
}

void Writer::submit(std::unique_ptr<Job> job) {
  if (enter(job)) {
    wake_.notify_one();
    return;
  }
  job->finish(Status(IMCTL_RESOURCE_EXHAUSTED,
                     "too much waits to be written: try again in a moment, or raise queue_bytes, " +
                         std::to_string(max_bytes_) + " now"));
}

void Writer::loop() {
  Clock::time_point next = Clock::now() + clean_interval_;
  std::unique_lock lock(mutex_);
  for (;;) {
    wake_.wait_until(lock, next, [this] { return stopping_ || !waiting_.empty(); });
    if (Clock::now() >= next && !stopping_) {
      next = Clock::now() + clean_interval_;
      if (auto job = scheduled_(user_)) {
        bytes_ += job->bytes();
        waiting_.push_back(std::move(job));
      }
    }
    if (waiting_.empty()) {
      if (stopping_) return;
      continue;
    }
    Jobs jobs = std::exchange(waiting_, {});
    lock.unlock();
    write(std::move(jobs));
    lock.lock();
  }
}

void Writer::write(Jobs jobs) {
  Status status = commit(jobs);
  if (!status.ok() && status.code() == IMCTL_RESOURCE_EXHAUSTED) store_->shrink_log();
  // Whatever is wrong with the file or its owner is wrong for each of them.
  bool all_alike = status.code() == IMCTL_UNAVAILABLE || status.code() == IMCTL_DATA_LOSS ||
                   status.code() == IMCTL_FAILED_PRECONDITION;
  if (status.ok() || all_alike || jobs.size() == 1) {
    for (auto& job : jobs) after(std::move(job), status);
    return;
  }
  // One of them may be to blame, or all may be too large together: each for itself then.
  for (auto& job : jobs) {
    Jobs single;
    single.push_back(std::move(job));
    status = commit(single);
    after(std::move(single.front()), status);
  }
}

Status Writer::commit(Jobs& jobs) {
  const Clock::time_point start = Clock::now();
  Status status = store_->transaction([&] {
    for (auto& job : jobs) job->run(*store_);
  });
  if (status.ok()) {
    metrics_.jobs.add(static_cast<double>(jobs.size()));
    metrics_.commits.add();
    metrics_.commit_seconds.observe(std::chrono::duration<double>(Clock::now() - start).count());
  }
  return status;
}

void Writer::after(std::unique_ptr<Job> job, const Status& status) {
  if (status.ok() && job->more()) {
    std::lock_guard lock(mutex_);
    // Nobody waits for the rest of a job when calls have ended; the next start takes it up.
    if (!stopping_) {
      waiting_.push_back(std::move(job));
      return;
    }
  }
  {
    std::lock_guard lock(mutex_);
    bytes_ -= job->bytes();
    metrics_.queue_bytes.set(static_cast<double>(bytes_));
  }
  job->finish(status);
}

}  // namespace imctl::storage
