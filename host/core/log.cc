#include "core/log.h"

#include <spdlog/async.h>
#include <spdlog/async_logger.h>
#include <spdlog/sinks/stdout_color_sinks.h>

#include <charconv>
#include <string>

namespace imctl::host {
namespace {

constexpr size_t kLines = 1024;
constexpr size_t kLineBytes = 8192;

spdlog::level::level_enum to_spdlog(imctl_log_level level) {
  switch (level) {
    case IMCTL_LOG_TRACE: return spdlog::level::trace;
    case IMCTL_LOG_DEBUG: return spdlog::level::debug;
    case IMCTL_LOG_INFO: return spdlog::level::info;
    case IMCTL_LOG_WARN: return spdlog::level::warn;
    case IMCTL_LOG_ERROR: return spdlog::level::err;
  }
  return spdlog::level::err;
}

// One record, one line, no control characters from outside in the terminal.
void append_clean(std::string* line, std::string_view text) {
  for (char c : text.substr(0, kLineBytes)) {
    line->push_back(static_cast<unsigned char>(c) < 0x20 && c != '\t' ? ' ' : c);
  }
}

}  // namespace

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

Log::Log(imctl_log_level level) : level_(level) {
  writer_ = std::make_shared<spdlog::details::thread_pool>(kLines, 1);
  logger_ = std::make_shared<spdlog::async_logger>(
      "imctl", std::make_shared<spdlog::sinks::stderr_color_sink_mt>(), writer_,
      spdlog::async_overflow_policy::overrun_oldest);
  logger_->set_level(spdlog::level::trace);
  logger_->set_pattern("%Y-%m-%dT%H:%M:%S.%e%z %^%-5l%$ %v");
}

Log::~Log() = default;

void Log::write(imctl_log_level level, std::string_view module, std::string_view call_id,
                std::string_view text) {
  if (!enabled(level)) return;
  std::string line;
  line.reserve(module.size() + call_id.size() + text.size() + 16);
  line.append("[").append(module).append("] ");
  append_clean(&line, text);
  if (!call_id.empty()) line.append(" call=").append(call_id);
  logger_->log(to_spdlog(level), line);
}

}  // namespace imctl::host
