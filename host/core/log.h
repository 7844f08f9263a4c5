// The host's log: lines to standard error by a thread of its own. Bounded: when the disk or the
// terminal stalls, old lines are dropped rather than calls held up.
#ifndef IMCTL_HOST_CORE_LOG_H
#define IMCTL_HOST_CORE_LOG_H

#include <memory>
#include <optional>
#include <string_view>

#include "imctl/module.h"

namespace spdlog {
class logger;
namespace details {
class thread_pool;
}
}  // namespace spdlog

namespace imctl::host {

// "trace" ... "error", or Go slog's numbers: -4 debug, 0 info, 4 warn, 8 error.
std::optional<imctl_log_level> parse_log_level(std::string_view text);

class Log {
 public:
  explicit Log(imctl_log_level level);
  Log(const Log&) = delete;
  Log& operator=(const Log&) = delete;
  ~Log();  // writes out what waits

  bool enabled(imctl_log_level level) const { return level >= level_; }
  // `call_id` may be empty.
  void write(imctl_log_level level, std::string_view module, std::string_view call_id,
             std::string_view text);
  void info(std::string_view text) { write(IMCTL_LOG_INFO, "host", {}, text); }
  void warn(std::string_view text) { write(IMCTL_LOG_WARN, "host", {}, text); }
  void error(std::string_view text) { write(IMCTL_LOG_ERROR, "host", {}, text); }

 private:
  const imctl_log_level level_;
  // In this order: the writer's thread is joined before what it writes with goes.
  std::shared_ptr<spdlog::logger> logger_;
  std::shared_ptr<spdlog::details::thread_pool> writer_;
};

}  // namespace imctl::host

#endif  // IMCTL_HOST_CORE_LOG_H
