#include "core/log.h"

#include <spdlog/async.h>
#include <spdlog/async_logger.h>

#include <string>
#include <utility>

#include "core/log_sink.h"

namespace imctl::host {
namespace {

constexpr size_t kLines = 1024;
constexpr size_t kLineBytes = 8192;

}  // namespace

Log::Log(imctl_log_level level)
    : levels_(level), ring_(LogOptions().memory), sink_(std::make_shared<LogSink>()) {
  (void)sink_->open(LogOptions());
  writer_ = std::make_shared<spdlog::details::thread_pool>(kLines, 1);
  logger_ = std::make_shared<spdlog::async_logger>("imctl", sink_, writer_,
                                                   spdlog::async_overflow_policy::overrun_oldest);
  logger_->set_level(spdlog::level::trace);
  sink_->watch_dropped([writer = writer_.get()] { return writer->overrun_counter(); },
                       [writer = writer_.get()] { return writer->queue_size(); });
}

Log::~Log() = default;

Status Log::configure(const LogOptions& options) {
  Status status = sink_->open(options);
  if (status.ok()) ring_.set_limit(options.memory);
  return status;
}

void Log::count_dropped(Metric* counter) { sink_->count_dropped(counter); }

void Log::write(imctl_log_level level, std::string_view module, std::string_view call_id,
                std::string_view principal, std::string_view text) {
  text = text.substr(0, kLineBytes);
  auto now = std::chrono::system_clock::now();
  logger_->log(now, spdlog::source_loc(), to_spdlog(level),
               pack_line(module, call_id, principal, text));
  ring_.push({now, level, std::string(module), std::string(call_id), std::string(principal),
              std::string(text)});
}

void Log::own(imctl_log_level level, std::string_view text, std::string_view call_id,
              std::string_view principal) {
  if (levels_.enabled(level, "host")) write(level, "host", call_id, principal, text);
}

}  // namespace imctl::host
