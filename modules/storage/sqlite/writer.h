// The one thread that writes, and what waits for it.
//
// Group commit: whatever waits when the thread gets to it is written in one transaction, so under
// load one fsync serves many callers, and without load nobody waits for anybody.
#ifndef IMCTL_STORAGE_SQLITE_WRITER_H
#define IMCTL_STORAGE_SQLITE_WRITER_H

#include <chrono>
#include <condition_variable>
#include <cstddef>
#include <deque>
#include <memory>
#include <mutex>
#include <thread>

#include "imctl/host.h"
#include "imctl/status.h"
#include "store.h"

namespace imctl::storage {

// Something to write. Used by one thread at a time.
class Job {
 public:
  Job() = default;
  Job(const Job&) = delete;
  Job& operator=(const Job&) = delete;
  virtual ~Job() = default;

  // What it holds while it waits.
  virtual size_t bytes() const = 0;
  // Does the work, or a part; throws what Store throws. Run again from the start of the part if the
  // transaction that it ran in failed.
  virtual void run(Store& store) = 0;
  // After a committed run: is there a part left, to be run after what waits by then?
  virtual bool more() { return false; }
  // Its end, told once: OK when all its parts are on the disk. Must not throw.
  virtual void finish(const Status& status) = 0;
};

struct WriterMetrics {
  Metric jobs;            // counter: jobs that were committed
  Metric commits;         // counter: transactions that they took
  Metric commit_seconds;  // histogram
  Metric queue_bytes;     // gauge
};

class Writer {
 public:
  // Called by the writer's thread every `clean_interval`; gives a job to run, or none.
  using Scheduled = std::unique_ptr<Job> (*)(void* user);

  Writer(std::unique_ptr<Store> store, const Options& options, const WriterMetrics& metrics,
         Scheduled scheduled, void* user);
  // Runs what waits to its end, then closes the store.
  ~Writer();
  Writer(const Writer&) = delete;
  Writer& operator=(const Writer&) = delete;

  // From any thread, without waiting. If `queue_bytes` are waiting already, the job is finished
  // with RESOURCE_EXHAUSTED before this returns. A job larger than all of the queue gets in when it
  // is empty.
  void submit(std::unique_ptr<Job> job);

 private:
  using Jobs = std::deque<std::unique_ptr<Job>>;

  // Takes the job, unless the queue is full.
  bool enter(std::unique_ptr<Job>& job);
  void loop();
  void write(Jobs jobs);
  Status commit(Jobs& jobs);
  void after(std::unique_ptr<Job> job, const Status& status);

  const std::unique_ptr<Store> store_;
  const size_t max_bytes_;
  const std::chrono::milliseconds clean_interval_;
  const WriterMetrics metrics_;
  const Scheduled scheduled_;
  void* const user_;

  std::mutex mutex_;
  std::condition_variable wake_;
  Jobs waiting_;           // guarded by mutex_
  size_t bytes_ = 0;       // guarded by mutex_: of all jobs that are not finished
  bool stopping_ = false;  // guarded by mutex_
  std::thread thread_;
};

}  // namespace imctl::storage

#endif  // IMCTL_STORAGE_SQLITE_WRITER_H
