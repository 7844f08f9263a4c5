// How a line of the log looks, and where the log's thread writes it.
#ifndef IMCTL_HOST_CORE_LOG_SINK_H
#define IMCTL_HOST_CORE_LOG_SINK_H

#include <spdlog/sinks/sink.h>

#include <atomic>
#include <chrono>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>

#include "core/log.h"
#include "core/log_ring.h"
#include "imctl/status.h"

namespace imctl::host {

spdlog::level::level_enum to_spdlog(imctl_log_level level);

// A record as the payload of an spdlog message and back; time and level are the message's own.
std::string pack_line(std::string_view module, std::string_view call_id, std::string_view principal,
                      std::string_view text);
LogRecord unpack_line(const spdlog::details::log_msg& message);

// Of one line, without its end. Text for people: no control characters of others'.
std::string text_line(const LogRecord& record);
std::string json_line(const LogRecord& record);
// For the journal, which has a time of its own: "<6>..." (sd-daemon(3)).
std::string journal_line(const LogRecord& record);

// Is standard error what systemd's JOURNAL_STREAM says?
bool is_journal(const char* journal_stream);

// Where lines go can be changed at any time. log() and flush() are the writer's thread's.
class LogSink final : public spdlog::sinks::sink {
 public:
  // Takes the place of the one before.
  Status open(const LogOptions& options);
  // How many lines were dropped in all so far, how many wait, and who counts them.
  void watch_dropped(std::function<uint64_t()> dropped, std::function<size_t()> waiting);
  void count_dropped(Metric* counter) { counter_ = counter; }

  void log(const spdlog::details::log_msg& message) override;
  void flush() override;
  void set_pattern(const std::string& /*pattern*/) override {}
  void set_formatter(std::unique_ptr<spdlog::formatter> /*formatter*/) override {}

 private:
  struct Output {
    std::shared_ptr<spdlog::sinks::sink> sink;
    std::string (*format)(const LogRecord& record) = text_line;
  };
  std::shared_ptr<Output> output() const;
  void tell_dropped();
  static void write(Output& output, const LogRecord& record);

  mutable std::mutex mutex_;
  std::shared_ptr<Output> output_;

  // The writer's thread's.
  std::function<uint64_t()> dropped_;
  std::function<size_t()> waiting_;
  std::atomic<Metric*> counter_{nullptr};
  uint64_t told_ = 0;
  uint64_t counted_ = 0;
  std::chrono::steady_clock::time_point last_told_;
};

}  // namespace imctl::host

#endif  // IMCTL_HOST_CORE_LOG_SINK_H
