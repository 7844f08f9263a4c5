// The log: levels, lines in memory, how lines look, what happens to too many.
#include <gtest/gtest.h>

#include <unistd.h>

#include <atomic>
#include <chrono>
#include <fstream>
#include <string>
#include <thread>
#include <vector>

#include "core/log.h"
#include "core/log_sink.h"
#include "in_process.h"

namespace imctl::host {
namespace {

LogRecord record(const std::string& text) {
  LogRecord made;
  made.module = "m";
  made.text = text;
  return made;
}

TEST(LogLevels, FallBackToWhatWasBefore) {
  LogLevels levels(IMCTL_LOG_INFO);
  int heard = 0;
  levels.on_change([&] { ++heard; });
  const std::atomic<int32_t>& cell = levels.cell("m");
  EXPECT_EQ(cell, IMCTL_LOG_INFO);
  auto until = LogLevels::Clock::now() + std::chrono::hours(1);
  uint64_t first = levels.set("m", IMCTL_LOG_DEBUG, until);
  EXPECT_EQ(cell, IMCTL_LOG_DEBUG);
  EXPECT_EQ(levels.cell("other"), IMCTL_LOG_INFO);
  uint64_t second = levels.set("m", IMCTL_LOG_TRACE, until);
  levels.fall_back("m", first);  // another took its place
  EXPECT_EQ(cell, IMCTL_LOG_TRACE);
  EXPECT_TRUE(levels.rows()[0].until.has_value());
  levels.fall_back("m", second);
  EXPECT_EQ(cell, IMCTL_LOG_INFO);

  levels.set("m", IMCTL_LOG_ERROR, std::nullopt);
  levels.set_base(IMCTL_LOG_WARN);
  EXPECT_EQ(cell, IMCTL_LOG_ERROR);
  EXPECT_EQ(levels.cell("other"), IMCTL_LOG_WARN);
  levels.fall_back("m", levels.set("m", IMCTL_LOG_DEBUG, until));
  EXPECT_EQ(cell, IMCTL_LOG_ERROR);
  EXPECT_EQ(heard, 7);
}

TEST(LogRing, KeepsTheNewestAndCountsWhatAReaderMissed) {
  LogRing ring(10 * record(std::string(100, 'x')).bytes());
  uint64_t at = ring.first();
  for (int i = 0; i < 25; ++i) {
    std::string text = std::to_string(i);
    ring.push(record(text + std::string(100 - text.size(), 'x')));
  }
  std::vector<LogRing::Record> lines;
  EXPECT_EQ(ring.read(&at, 4, &lines), 15U);
  ASSERT_EQ(lines.size(), 4U);
  EXPECT_EQ(lines[0]->text.substr(0, 3), "15x");
  EXPECT_EQ(ring.read(&at, 100, &lines), 0U);
  EXPECT_EQ(lines.size(), 10U);
  EXPECT_EQ(at, ring.next());
  ring.set_limit(1);  // the newest stays whatever its size
  EXPECT_EQ(ring.next() - ring.first(), 1U);
}

TEST(LogRing, WakesItsReadersWhileOthersWrite) {
  LogRing ring(64u << 10);
  std::atomic<uint64_t> seen{0};
  std::atomic<uint64_t> at{0};
  uint64_t watch = ring.watch([&] {
    std::vector<LogRing::Record> lines;
    uint64_t from = at;
    seen += ring.read(&from, 1000, &lines) + lines.size();
    at = from;
  });
  constexpr uint64_t kLines = 5000;
  std::vector<std::thread> writers;
  for (int i = 0; i < 2; ++i) {
    writers.emplace_back([&] {
      for (uint64_t line = 0; line < kLines; ++line) ring.push(record("line"));
    });
  }
  for (std::thread& writer : writers) writer.join();
  for (auto end = std::chrono::steady_clock::now() + std::chrono::seconds(30);
       at < 2 * kLines && std::chrono::steady_clock::now() < end;) {
    ring.push(record("one more"));
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
  }
  EXPECT_GE(seen, 2 * kLines);
  ring.unwatch(watch);
}

TEST(LogSink, Lines) {
  LogRecord one = record("say \"no\"\\\n\x01\xff\xe2\x98\x83\xed\xa0\x80");
  one.level = IMCTL_LOG_WARN;
  one.call_id = "c1";
  one.principal = "ann@example.org";
  EXPECT_EQ(text_line(one),
            "[m] say \"no\"\\  \ufffd\xe2\x98\x83\ufffd\ufffd\ufffd call=c1 user=ann@example.org");
  EXPECT_EQ(text_line(record("a\u009b31mb\u202ec")), "[m] a 31mb c");
  EXPECT_EQ(journal_line(one).substr(0, 7), "<4>[m] ");
  EXPECT_EQ(json_line(one),
            "{\"time\":\"1970-01-01T00:00:00.000000Z\",\"level\":\"warn\",\"module\":\"m\","
            "\"call\":\"c1\",\"user\":\"ann@example.org\",\"text\":\"say \\\"no\\\"\\\\\\n\\u0001"
            "\\ufffd\xe2\x98\x83\\ufffd\\ufffd\\ufffd\"}");
  EXPECT_EQ(json_line(record("")).find("call"), std::string::npos);
}

TEST(LogSink, PackedAndUnpacked) {
  std::string payload = pack_line("m", "", std::string("a\0b", 3), std::string("x\0y", 3));
  spdlog::details::log_msg message(spdlog::log_clock::now(), spdlog::source_loc(), "imctl",
                                   spdlog::level::debug, payload);
  LogRecord back = unpack_line(message);
  EXPECT_EQ(back.module, "m");
  EXPECT_EQ(back.call_id, "");
  EXPECT_EQ(back.principal, "a");
  EXPECT_EQ(back.text, std::string("x\0y", 3));
  EXPECT_EQ(back.level, IMCTL_LOG_DEBUG);
}

TEST(Log, WhatIsTooMuchIsDroppedAndCounted) {
  TemporaryFolder folder;
  Metrics metrics;
  Metric* dropped = metrics.get(IMCTL_COUNTER, "dropped_total", "", "");
  constexpr int kLines = 100000;
  {
    Log log(IMCTL_LOG_INFO);
    log.count_dropped(dropped);
    LogOptions options;
    options.file = folder.path() + "/log";
    options.file_size = size_t{1} << 30;
    options.file_count = 1;
    ASSERT_TRUE(log.configure(options).ok());
    std::vector<std::thread> writers;
    for (int i = 0; i < 2; ++i) {
      writers.emplace_back([&] {
        for (int line = 0; line < kLines; ++line) {
          log.write(IMCTL_LOG_INFO, "m", "c", "u", "a line");
        }
      });
    }
    options.format = LogFormat::kJson;  // while lines are written
    EXPECT_TRUE(log.configure(options).ok());
    for (std::thread& writer : writers) writer.join();
    options.file = "/proc/no/such/log";
    EXPECT_EQ(log.configure(options).code(), IMCTL_FAILED_PRECONDITION);
    log.info("the end");
  }
  std::ifstream file(folder.path() + "/log");
  uint64_t written = 0;
  uint64_t told = 0;
  std::string last;
  for (std::string line; std::getline(file, line); last = line) {
    size_t at = line.find(" lines of the log were dropped");
    if (at == std::string::npos) {
      ++written;
      continue;
    }
    size_t number = line.find_last_not_of("0123456789", at - 1);
    told += std::stoull(line.substr(number + 1));
  }
  // The line of the end, too.
  EXPECT_EQ(written + told, 2U * kLines + 1U) << last;
  EXPECT_EQ(static_cast<uint64_t>(dropped->value()), told);
}

TEST(Log, AFullDiskIsCounted) {
  Metrics metrics;
  Metric* dropped = metrics.get(IMCTL_COUNTER, "dropped_total", "", "");
  {
    Log log(IMCTL_LOG_INFO);
    log.count_dropped(dropped);
    LogOptions options;
    options.file = "/dev/full";
    options.file_size = 1 << 20;
    options.file_count = 1;
    ASSERT_TRUE(log.configure(options).ok());
    log.info("nowhere to go");
  }
  EXPECT_GE(dropped->value(), 1);
}

}  // namespace
}  // namespace imctl::host
