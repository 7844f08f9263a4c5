// The newest lines of the log, in memory, for who reads them while the host runs.
#ifndef IMCTL_HOST_CORE_LOG_RING_H
#define IMCTL_HOST_CORE_LOG_RING_H

#include <chrono>
#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <utility>
#include <vector>

#include "core/wakes.h"
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

  void set_limit(size_t bytes);
  void push(LogRecord record);

  // The number of the oldest line that is there, and of the one that comes next.
  uint64_t first() const;
  uint64_t next() const;
  // At most `count` lines from number `from` on, which becomes the number after the last of them.
  // Gives how many were gone before they were read.
  uint64_t read(uint64_t* from, size_t count, std::vector<Record>* lines) const;

  // For those who follow it: see Wakes.
  uint64_t watch(std::function<void()> wake) { return wakes_.watch(std::move(wake)); }
  void unwatch(uint64_t watch) { wakes_.unwatch(watch); }

 private:
  void shrink();

  mutable std::mutex mutex_;
  size_t limit_;
  size_t bytes_ = 0;
  uint64_t first_ = 0;
  std::deque<Record> records_;

  Wakes wakes_;
};

}  // namespace imctl::host

#endif  // IMCTL_HOST_CORE_LOG_RING_H
