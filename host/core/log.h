// The host's log: lines to standard error, the journal or a file, by a thread of its own, and the
// newest of them in memory. Bounded: when the disk or the terminal stalls, or lines come faster
// than they can be written, old ones are dropped and counted rather than calls held up.
#ifndef IMCTL_HOST_CORE_LOG_H
#define IMCTL_HOST_CORE_LOG_H

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "core/log_levels.h"
#include "core/log_ring.h"
#include "imctl/module.h"
#include "imctl/status.h"

namespace spdlog {
class logger;
namespace details {
class thread_pool;
}
}  // namespace spdlog

namespace imctl::host {

class LogSink;
class Metric;

enum class LogFormat { kText, kJson };

// Where lines go and how they look.
struct LogOptions {
  LogFormat format = LogFormat::kText;
  std::string file;          // empty: standard error, or the journal if that is what it is
  size_t file_size = 0;      // when another is begun
  size_t file_count = 0;     // of those that are kept beside it
  size_t memory = 4u << 20;  // bytes of lines that can be read while the host runs

  bool operator==(const LogOptions&) const = default;
};

class Log {
 public:
  explicit Log(imctl_log_level level);
  Log(const Log&) = delete;
  Log& operator=(const Log&) = delete;
  ~Log();  // writes out what waits

  // What is not dropped yet is written as it was before. After an error all is as it was.
  Status configure(const LogOptions& options);
  // Who counts what is dropped; before the first line.
  void count_dropped(Metric* counter);

  LogLevels& levels() { return levels_; }
  LogRing& ring() { return ring_; }

  // Whatever the level of the module is. `call_id` and `principal` may be empty.
  void write(imctl_log_level level, std::string_view module, std::string_view call_id,
             std::string_view principal, std::string_view text);
  void info(std::string_view text, std::string_view call_id = {}, std::string_view principal = {}) {
    own(IMCTL_LOG_INFO, text, call_id, principal);
  }
  void warn(std::string_view text) { own(IMCTL_LOG_WARN, text); }
  void error(std::string_view text) { own(IMCTL_LOG_ERROR, text); }

 private:
  void own(imctl_log_level level, std::string_view text, std::string_view call_id = {},
           std::string_view principal = {});

  LogLevels levels_;
  LogRing ring_;
  std::shared_ptr<LogSink> sink_;
  // In this order: the writer's thread is joined before what it writes with goes.
  std::shared_ptr<spdlog::logger> logger_;
  std::shared_ptr<spdlog::details::thread_pool> writer_;
};

}  // namespace imctl::host

#endif  // IMCTL_HOST_CORE_LOG_H
