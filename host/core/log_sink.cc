#include "core/log_sink.h"

#include <spdlog/details/log_msg.h>
#include <spdlog/pattern_formatter.h>
#include <spdlog/sinks/rotating_file_sink.h>
#include <spdlog/sinks/stdout_color_sinks.h>
#include <spdlog/sinks/stdout_sinks.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstdio>
#include <cstdlib>
#include <ctime>
#include <exception>
#include <utility>

#include "core/json_text.h"
#include "core/utf8.h"
#include "road/metrics.h"

namespace imctl::host {
namespace {

constexpr const char* kTextPattern = "%Y-%m-%dT%H:%M:%S.%e%z %^%*%$ %v";
constexpr const char* kBare = "%v";
constexpr std::chrono::seconds kBetweenDrops{1};

imctl_log_level level_of(spdlog::level::level_enum level) {
  switch (level) {
    case spdlog::level::trace: return IMCTL_LOG_TRACE;
    case spdlog::level::debug: return IMCTL_LOG_DEBUG;
    case spdlog::level::info: return IMCTL_LOG_INFO;
    case spdlog::level::warn: return IMCTL_LOG_WARN;
    default: return IMCTL_LOG_ERROR;
  }
}

// Is it a control character, or one that turns the direction of the text? `sequence` is UTF-8.
bool drives_terminal(std::string_view sequence) {
  auto byte = [&](size_t i) { return static_cast<unsigned char>(sequence[i]); };
  if (sequence.size() == 1) return (byte(0) < 0x20 && byte(0) != '\t') || byte(0) == 0x7f;
  if (sequence.size() == 2) return byte(0) == 0xc2 && byte(1) < 0xa0;  // C1
  if (sequence.size() != 3 || byte(0) != 0xe2) return false;
  return (byte(1) == 0x80 && (byte(2) == 0x8e || byte(2) == 0x8f)) ||  // U+200E, U+200F
         (byte(1) == 0x80 && byte(2) >= 0xa8 && byte(2) <= 0xae) ||    // U+2028 to U+202E
         (byte(1) == 0x81 && byte(2) >= 0xa6 && byte(2) <= 0xa9);      // U+2066 to U+2069
}

// Nothing from outside that drives a terminal, and one line a record.
void append_clean(std::string* line, std::string_view text) {
  while (!text.empty()) {
    const size_t size = utf8_sequence(text);
    if (size == 0) {
      *line += "\ufffd";
    } else if (drives_terminal(text.substr(0, size))) {
      *line += ' ';
    } else {
      line->append(text.substr(0, size));
    }
    text.remove_prefix(std::max<size_t>(size, 1));
  }
}

// The levels as `log level` has them: spdlog's own names differ.
class LevelName final : public spdlog::custom_flag_formatter {
 public:
  void format(const spdlog::details::log_msg& message, const std::tm& /*time*/,
              spdlog::memory_buf_t& out) override {
    std::string name = to_string(level_of(message.level));
    name.resize(kWidth, ' ');
    out.append(name.data(), name.data() + name.size());
  }
  std::unique_ptr<custom_flag_formatter> clone() const override {
    return std::make_unique<LevelName>();
  }

 private:
  static constexpr size_t kWidth = 5;
};

std::unique_ptr<spdlog::formatter> text_formatter() {
  auto formatter = std::make_unique<spdlog::pattern_formatter>();
  formatter->add_flag<LevelName>('*').set_pattern(kTextPattern);
  return formatter;
}

void append_json(std::string* out, const char* name, std::string_view text) {
  if (out->size() > 1) *out += ',';
  out->append("\"").append(name).append("\":");
  append_json_string(out, text);
}

}  // namespace

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

std::string pack_line(std::string_view module, std::string_view call_id, std::string_view principal,
                      std::string_view text) {
  // The head is of names, none of which has a zero byte that counts.
  std::string line;
  line.reserve(module.size() + call_id.size() + principal.size() + text.size() + 3);
  for (std::string_view part : {module, call_id, principal}) {
    line.append(part.substr(0, part.find('\0'))).push_back('\0');
  }
  return line.append(text);
}

LogRecord unpack_line(const spdlog::details::log_msg& message) {
  std::string_view rest(message.payload.data(), message.payload.size());
  auto next = [&rest] {
    size_t end = std::min(rest.find('\0'), rest.size());
    std::string part(rest.substr(0, end));
    rest.remove_prefix(std::min(end + 1, rest.size()));
    return part;
  };
  LogRecord record;
  record.time = std::chrono::time_point_cast<std::chrono::system_clock::duration>(message.time);
  record.level = level_of(message.level);
  record.module = next();
  record.call_id = next();
  record.principal = next();
  record.text = rest;
  return record;
}

std::string text_line(const LogRecord& record) {
  std::string line = "[";
  append_clean(&line, record.module);
  line += "] ";
  append_clean(&line, record.text);
  if (!record.call_id.empty()) {
    line += " call=";
    append_clean(&line, record.call_id);
  }
  if (!record.principal.empty()) {
    line += " user=";
    append_clean(&line, record.principal);
  }
  return line;
}

std::string json_line(const LogRecord& record) {
  auto since = record.time.time_since_epoch();
  auto seconds = std::chrono::floor<std::chrono::seconds>(since);
  time_t whole = seconds.count();
  tm parts{};
  gmtime_r(&whole, &parts);
  std::array<char, 64> time{};
  size_t size = strftime(time.data(), time.size(), "%Y-%m-%dT%H:%M:%S", &parts);
  (void)snprintf(
      time.data() + size, time.size() - size, ".%06dZ",
      static_cast<int>(
          std::chrono::duration_cast<std::chrono::microseconds>(since - seconds).count()));
  std::string line = "{";
  append_json(&line, "time", time.data());
  append_json(&line, "level", to_string(record.level));
  append_json(&line, "module", record.module);
  if (!record.call_id.empty()) append_json(&line, "call", record.call_id);
  if (!record.principal.empty()) append_json(&line, "user", record.principal);
  append_json(&line, "text", record.text);
  return line + "}";
}

std::string journal_line(const LogRecord& record) {
  static constexpr std::array<const char*, 5> kPriorities = {"<7>", "<7>", "<6>", "<4>", "<3>"};
  return kPriorities[static_cast<size_t>(record.level)] + text_line(record);
}

bool is_journal(const char* journal_stream) {
  if (journal_stream == nullptr) return false;
  struct stat stream {};
  if (fstat(STDERR_FILENO, &stream) != 0) return false;
  return std::to_string(stream.st_dev) + ":" + std::to_string(stream.st_ino) == journal_stream;
}

Status LogSink::open(const LogOptions& options) {
  auto output = std::make_shared<Output>();
  bool journal = options.file.empty() && is_journal(getenv("JOURNAL_STREAM"));
  output->format = options.format == LogFormat::kJson ? json_line
                   : journal                          ? journal_line
                                                      : text_line;
  try {
    if (!options.file.empty()) {
      spdlog::file_event_handlers handlers;
      // Else a line would wait for others, and a full disk would be noticed by nobody.
      handlers.after_open = [](const spdlog::filename_t&, std::FILE* file) {
        (void)setvbuf(file, nullptr, _IOLBF, BUFSIZ);
      };
      output->sink = std::make_shared<spdlog::sinks::rotating_file_sink_mt>(
          options.file, options.file_size, options.file_count, false, handlers);
    } else if (journal) {
      output->sink = std::make_shared<spdlog::sinks::stderr_sink_mt>();
    } else {
      const char* colourless = getenv("NO_COLOR");
      bool none = colourless != nullptr && *colourless != '\0';
      output->sink = std::make_shared<spdlog::sinks::stderr_color_sink_mt>(
          none ? spdlog::color_mode::never : spdlog::color_mode::automatic);
    }
  } catch (const std::exception& e) {
    return {IMCTL_FAILED_PRECONDITION,
            "host.log_file: " + options.file + " cannot be written: " + e.what()};
  }
  if (output->format == text_line) {
    output->sink->set_formatter(text_formatter());
  } else {
    output->sink->set_pattern(kBare);
  }
  std::lock_guard lock(mutex_);
  output_.swap(output);
  return {};
}

std::shared_ptr<LogSink::Output> LogSink::output() const {
  std::lock_guard lock(mutex_);
  return output_;
}

void LogSink::watch_dropped(std::function<uint64_t()> dropped, std::function<size_t()> waiting) {
  dropped_ = std::move(dropped);
  waiting_ = std::move(waiting);
}

void LogSink::write(Output& output, const LogRecord& record) {
  std::string line = output.format(record);
  spdlog::details::log_msg message(record.time, spdlog::source_loc(), "imctl",
                                   to_spdlog(record.level), line);
  output.sink->log(message);
}

void LogSink::log(const spdlog::details::log_msg& message) {
  std::shared_ptr<Output> to = output();
  try {
    write(*to, unpack_line(message));
    if (dropped_) tell_dropped();
  } catch (const std::exception&) {
    // The disk is full. There is nowhere to say so but in the count.
    if (Metric* counter = counter_.load()) counter->add(1);
  }
}

void LogSink::tell_dropped() {
  uint64_t dropped = dropped_();
  if (Metric* counter = counter_.load(); counter != nullptr && dropped != counted_) {
    counter->add(static_cast<double>(dropped - counted_));
    counted_ = dropped;
  }
  auto now = std::chrono::steady_clock::now();
  if (dropped == told_ || (waiting_() > 0 && now - last_told_ < kBetweenDrops)) return;
  last_told_ = now;
  LogRecord record;
  record.time = std::chrono::system_clock::now();
  record.level = IMCTL_LOG_WARN;
  record.module = "host";
  record.text = std::to_string(dropped - told_) +
                " lines of the log were dropped: they came faster than they could be written";
  told_ = dropped;
  write(*output(), record);
}

void LogSink::flush() { output()->sink->flush(); }

}  // namespace imctl::host
