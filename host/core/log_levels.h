// Which lines of which module are logged: a level for all, and others for some, for good or for a
// while. In memory only.
#ifndef IMCTL_HOST_CORE_LOG_LEVELS_H
#define IMCTL_HOST_CORE_LOG_LEVELS_H

#include <atomic>
#include <chrono>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "imctl/module.h"

namespace imctl::host {

// "trace" ... "error", or Go slog's numbers: -4 debug, 0 info, 4 warn, 8 error.
std::optional<imctl_log_level> parse_log_level(std::string_view text);
const char* to_string(imctl_log_level level);

// All of it from any thread.
class LogLevels {
 public:
  using Clock = std::chrono::system_clock;
  struct Row {
    std::string module;
    imctl_log_level level;
    bool own = false;                        // not that for all
    std::optional<Clock::time_point> until;  // it falls back then
  };

  explicit LogLevels(imctl_log_level base) : base_(base) {}

  // The level of a module that may not be loaded (yet); lives as long as this.
  const std::atomic<int32_t>& cell(std::string_view module);
  bool enabled(imctl_log_level level, std::string_view module) {
    return level >= cell(module).load(std::memory_order_relaxed);
  }

  // Who hears that some level is another; set before the first change.
  void on_change(std::function<void()> hook) { hook_ = std::move(hook); }

  void set_base(imctl_log_level level);
  // `until`: it is to fall back then to what it was before; who calls has that happen by
  // fall_back(), with the number that this gives.
  uint64_t set(const std::string& module, imctl_log_level level,
               std::optional<Clock::time_point> until);
  // Unless it was set again since.
  void fall_back(const std::string& module, uint64_t number);
  // Of the modules that were asked for, in alphabetical order.
  std::vector<Row> rows() const;

 private:
  struct Module {
    std::atomic<int32_t> level{0};
    std::optional<imctl_log_level> own;
    std::optional<imctl_log_level> passing;
    Clock::time_point until;
    uint64_t number = 0;
  };
  void refresh();

  mutable std::mutex mutex_;
  imctl_log_level base_;
  std::map<std::string, std::unique_ptr<Module>, std::less<>> modules_;
  std::function<void()> hook_;
};

}  // namespace imctl::host

#endif  // IMCTL_HOST_CORE_LOG_LEVELS_H
