// The newest lines of the log, in memory, for who reads them while the host runs.
#ifndef IMCTL_HOST_CORE_LOG_RING_H
#define IMCTL_HOST_CORE_LOG_RING_H

#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "imctl/module.h"

namespace imctl::host {

// One line. Nothing in it is meant for a terminal as it is.
struct LogRecord {
  std::chrono::system_clock::time_point time;
  imctl_log_level level = IMCTL_LOG_INFO;
  std::string module;
  std::string call_id;    // empty: it is about no call
  std::string principal;  // who makes that call
  std::string text;

  size_t bytes() const {
    return sizeof(*this) + module.size() + call_id.size() + principal.size() + text.size();
  }
};

// All of it from any thread. Who writes waits for nobody: readers that are slow lose lines.
class LogRing {
 public:
  using Record = std::shared_ptr<const LogRecord>;

  explicit LogRing(size_t bytes) : limit_(bytes) {}
  LogRing(const LogRing&) = delete;
  LogRing& operator=(const LogRing&) = delete;
  ~LogRing();

  void set_limit(size_t bytes);
  void push(LogRecord record);

  // The number of the oldest line that is there, and of the one that comes next.
  uint64_t first() const;
  uint64_t next() const;
  // At most `count` lines from number `from` on, which becomes the number after the last of them.
  // Gives how many were gone before they were read.
  uint64_t read(uint64_t* from, size_t count, std::vector<Record>* lines) const;

  // Calls `wake` soon after lines came, on a thread of the ring's where it may take a while. It may
  // be called once more after unwatch().
  uint64_t watch(std::function<void()> wake);
  void unwatch(uint64_t watch);

 private:
  void shrink();
  void loop();

  mutable std::mutex mutex_;
  size_t limit_;
  size_t bytes_ = 0;
  uint64_t first_ = 0;
  std::deque<Record> records_;

  std::map<uint64_t, std::shared_ptr<std::function<void()>>> watches_;
  uint64_t next_watch_ = 0;
  bool came_ = false;
  bool stopping_ = false;
  std::condition_variable wake_;
  std::thread thread_;  // from the first watch on
};

}  // namespace imctl::host

#endif  // IMCTL_HOST_CORE_LOG_RING_H
