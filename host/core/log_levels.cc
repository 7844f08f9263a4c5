#include "core/log_levels.h"

#include <charconv>

namespace imctl::host {

std::optional<imctl_log_level> parse_log_level(std::string_view text) {
  if (text == "trace") return IMCTL_LOG_TRACE;
  if (text == "debug") return IMCTL_LOG_DEBUG;
  if (text == "info") return IMCTL_LOG_INFO;
  if (text == "warn") return IMCTL_LOG_WARN;
  if (text == "error") return IMCTL_LOG_ERROR;
  int number = 0;
  auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (error != std::errc() || end != text.data() + text.size()) return std::nullopt;
  if (number < -4) return IMCTL_LOG_TRACE;
  if (number < 0) return IMCTL_LOG_DEBUG;
  if (number < 4) return IMCTL_LOG_INFO;
  return number < 8 ? IMCTL_LOG_WARN : IMCTL_LOG_ERROR;
}

const char* to_string(imctl_log_level level) {
  switch (level) {
    case IMCTL_LOG_TRACE: return "trace";
    case IMCTL_LOG_DEBUG: return "debug";
    case IMCTL_LOG_INFO: return "info";
    case IMCTL_LOG_WARN: return "warn";
    case IMCTL_LOG_ERROR: return "error";
  }
  return "error";
}

const std::atomic<int32_t>& LogLevels::cell(std::string_view module) {
  std::lock_guard lock(mutex_);
  auto at = modules_.find(module);
  if (at == modules_.end()) {
    at = modules_.emplace(module, std::make_unique<Module>()).first;
    at->second->level = base_;
  }
  return at->second->level;
}

// Under the lock.
void LogLevels::refresh() {
  for (auto& [name, module] : modules_) {
    module->level = module->passing ? *module->passing : module->own.value_or(base_);
  }
}

void LogLevels::set_base(imctl_log_level level) {
  {
    std::lock_guard lock(mutex_);
    base_ = level;
    refresh();
  }
  if (hook_) hook_();
}

uint64_t LogLevels::set(const std::string& module, imctl_log_level level,
                        std::optional<Clock::time_point> until) {
  (void)cell(module);
  uint64_t number = 0;
  {
    std::lock_guard lock(mutex_);
    Module& one = *modules_.find(module)->second;
    number = ++one.number;
    one.passing.reset();
    if (until) {
      one.passing = level;
      one.until = *until;
    } else {
      one.own = level;
    }
    refresh();
  }
  if (hook_) hook_();
  return number;
}

void LogLevels::fall_back(const std::string& module, uint64_t number) {
  {
    std::lock_guard lock(mutex_);
    auto at = modules_.find(module);
    if (at == modules_.end() || at->second->number != number) return;
    at->second->passing.reset();
    refresh();
  }
  if (hook_) hook_();
}

std::vector<LogLevels::Row> LogLevels::rows() const {
  std::vector<Row> rows;
  std::lock_guard lock(mutex_);
  for (const auto& [name, module] : modules_) {
    Row row{name, static_cast<imctl_log_level>(module->level.load()),
            module->own.has_value() || module->passing.has_value(), std::nullopt};
    if (module->passing) row.until = module->until;
    rows.push_back(std::move(row));
  }
  return rows;
}

}  // namespace imctl::host
