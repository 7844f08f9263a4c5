// The one thread that writes, and what waits for it.
//
// Group commit: whatever waits when the thread gets to it is written in one transaction, so under
// load one sync serves many callers, and without load nobody waits for anybody.
#ifndef IMCTL_STORAGE_WRITER_H
#define IMCTL_STORAGE_WRITER_H

#include <chrono>
#include <condition_variable>
#include <cstddef>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <thread>
#include <utility>

#include "engine.h"
#include "imctl/host.h"
#include "imctl/status.h"
#include "watchers.h"

namespace imctl::storage {

// A write that waits, and who waits for it.
class Job {
 public:
  explicit Job(Write work);
  Job(const Job&) = delete;
  Job& operator=(const Job&) = delete;
  virtual ~Job() = default;

  Write& work() { return work_; }
  // What it holds while it waits, roughly.
  size_t bytes() const { return bytes_; }
  // After a committed run: is there a part left, to be run after what waits by then?
  bool more();
  // Its end, told once: OK when all of it is durable. Must not throw.
  virtual void finish(const Status& status) = 0;

 protected:
  uint64_t removed() const { return removed_; }  // by all runs of a clean

 private:
  Write work_;
  const size_t bytes_;
  uint64_t removed_ = 0;
};

struct WriterMetrics {
  WriterMetrics() = default;  // swallows what it is told
  explicit WriterMetrics(const Host& host);
  Metric writes;          // counter: writes that were committed
  Metric commits;         // counter: transactions that they took
  Metric commit_seconds;  // histogram
  Metric queue_bytes;     // gauge
};

class Writer {
 public:
  // `tick` is called by the writer's thread about every `interval`.
  Writer(Engine* engine, Watchers* watchers, size_t max_bytes, const WriterMetrics& metrics,
         std::chrono::milliseconds interval, std::function<void()> tick);
  // Runs what waits to its end.
  ~Writer();
  Writer(const Writer&) = delete;
  Writer& operator=(const Writer&) = delete;

  struct Load {
    size_t waiting = 0;  // writes that no transaction has yet
    size_t bytes = 0;    // of all that are not finished
  };
  Load load();  // from any thread

  // From any thread, without waiting. `done(status, work, removed)` is called when it is over,
  // maybe before this returns: RESOURCE_EXHAUSTED if `max_bytes` are waiting already. A write
  // larger than all of the queue gets in when it is empty.
  template <class Work, class Done>
  void submit(Work work, Done done) {
    class Mine final : public Job {
     public:
      Mine(Work work, Done done) : Job(Write(std::move(work))), done_(std::move(done)) {}
      void finish(const Status& status) override {
        done_(status, std::get<Work>(work()), removed());
      }

     private:
      Done done_;
    };
    enter(std::make_unique<Mine>(std::move(work), std::move(done)));
  }

 private:
  using Clock = std::chrono::steady_clock;
  using Jobs = std::deque<std::unique_ptr<Job>>;

  void enter(std::unique_ptr<Job> job);
  void loop();
  // Takes from `jobs` what goes into one transaction, and ends what may not be written now.
  Jobs next_group(Jobs* jobs);
  void write(Jobs group);
  Status commit(Jobs& jobs);
  void after(std::unique_ptr<Job> job, const Status& status);
  Clock::time_point next_part() const;
  void go_on();
  void tell(const Write& work);

  Engine* const engine_;
  Watchers* const watchers_;
  const size_t max_bytes_;
  const WriterMetrics metrics_;
  const std::chrono::milliseconds interval_;
  const std::function<void()> tick_;

  // The writer's thread's: what has more parts to go, and how long the last group took and when it
  // ended.
  Jobs in_parts_;
  Clock::duration part_took_{0};
  Clock::time_point part_ended_;
  Clock::time_point ended_;

  std::mutex mutex_;
  std::condition_variable wake_;
  Jobs waiting_;           // guarded by mutex_
  size_t bytes_ = 0;       // guarded by mutex_: of all jobs that are not finished
  bool stopping_ = false;  // guarded by mutex_
  std::thread thread_;
};

}  // namespace imctl::storage

#endif  // IMCTL_STORAGE_WRITER_H
