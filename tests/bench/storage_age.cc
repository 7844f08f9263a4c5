// What becomes of a store with time: messages expire, and there are more and more.
#include <algorithm>
#include <atomic>
#include <chrono>
#include <string>
#include <thread>
#include <utility>

#include "storage.h"
#include "storage_host.h"

namespace imctl::bench {
namespace {

using Clock = std::chrono::steady_clock;
using std::chrono::milliseconds;

constexpr size_t kInFlight = 64;
constexpr uint64_t kMillion = 1'000'000;

// Puts a million more; messages a second.
double put_million(StorageHost* host, uint64_t* next) {
  return in_messages(
             host->caller().run(numbered_put_shape(next), kInFlight, times(kMillion / kBatch)))
      .per_second;
}

std::string in_millions(uint64_t messages) {
  return std::to_string(messages / kMillion) + " million";
}

}  // namespace

void measure_clean(std::vector<Figure>* figures) {
  // Between the halves, so that the younger one does not expire while this goes on; and how long
  // after the restart the older one has expired.
  constexpr milliseconds kBetween{15000};
  constexpr milliseconds kBefore{4000};
  StorageHost host;
  uint64_t next = 0;
  put_million(&host, &next);
  const Clock::time_point old = Clock::now();
  std::this_thread::sleep_for(kBetween);
  put_million(&host, &next);
  const Clock::time_point expired = Clock::now() + kBefore;
  const auto retention = std::chrono::duration_cast<milliseconds>(expired - old);
  host.restart({"storage-sqlite.retention=" + std::to_string(retention.count()) + "ms",
                "storage-sqlite.clean_interval=24h"});
  const Shape put = put_shape(1);
  host.caller().run(put, kInFlight, during(milliseconds(500)));  // warm
  const Load before = host.caller().run(put, kInFlight, during(milliseconds(2000)));
  std::this_thread::sleep_until(expired + milliseconds(100));

  std::atomic<bool> cleaned = false;
  double seconds = 0;
  uint64_t count = 0;
  std::string failure;
  Caller cleaner(host.address());
  std::thread thread([&] {
    const Clock::time_point start = Clock::now();
    try {
      count = read_number(cleaner.call("/awakari.messages.cleaner.Service/Clean", ""), 1);
    } catch (const std::exception& e) {
      failure = e.what();
    }
    seconds = std::chrono::duration<double>(Clock::now() - start).count();
    cleaned = true;
  });
  const Load while_cleaning = host.caller().run(put, kInFlight, [&] { return !cleaned; });
  thread.join();
  if (!failure.empty()) throw std::runtime_error(failure);
  if (count != kMillion) {
    throw std::runtime_error("Clean removed " + std::to_string(count) + " messages");
  }
  const Load after = host.caller().run(put, kInFlight, during(milliseconds(2000)));
  figures->push_back(plain("sqlite, Clean of 1 million among 2", seconds * 1000, "ms"));
  auto against_before = [&](const std::string& name, double value, const std::string& unit,
                            double other) {
    figures->push_back({name, value, unit, "before Clean", other, value / other, "", std::nullopt});
  };
  against_before("sqlite, put of 1 while Clean runs", while_cleaning.per_second, "calls/s",
                 before.per_second);
  against_before("sqlite, put of 1 while Clean runs, p99", while_cleaning.p99_us, "us",
                 before.p99_us);
  against_before("sqlite, put of 1 after Clean, p99", after.p99_us, "us", before.p99_us);
}

void measure_growth(std::vector<Figure>* figures, int rounds, uint64_t messages) {
  constexpr uint64_t kRound = 100'000;
  // The disk is slow to show what it can keep up: most of the young one's first million.
  rounds = std::max(rounds, 8);
  StorageHost old;
  uint64_t next = 0;
  do {
    put_million(&old, &next);
  } while (next + kMillion <= messages);
  const double memory = old.resident_megabytes();
  // In turns with one that is in its first million: machines drift in the time that all this takes.
  StorageHost young;
  const Shape shape = put_shape(kBatch);
  auto measured = [&](StorageHost* host) {
    return in_messages(host->caller().run(shape, kInFlight, times(kRound / kBatch)));
  };
  measured(&young);  // warm
  Turns turns;
  turns.run([&] { return measured(&old); }, [&] { return measured(&young); }, rounds);
  figures->push_back(turns.rate("sqlite, PutBatch of 100 after " + in_millions(next), "msg/s",
                                "first million", 0.8));
  figures->push_back(plain("sqlite, memory at " + in_millions(next), memory, "MB"));
}

}  // namespace imctl::bench
