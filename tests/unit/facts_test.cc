// What the host tells of itself: latencies, rates, stacks, archives.
#include <gtest/gtest.h>
#include <pthread.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <condition_variable>
#include <csignal>
#include <filesystem>
#include <fstream>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "core/call_rates.h"
#include "core/process_facts.h"
#include "core/stacks.h"
#include "road/latency.h"
#include "road/method_table.h"
#include "road/timer.h"

namespace imctl::host {
namespace {

TEST(Latency, QuantilesAreRightToAnEighth) {
  Latency latency;
  EXPECT_EQ(Latency::quantile(latency.counts(), 0.5), 0);
  for (int64_t value = 1; value <= 1000; ++value) latency.add(value * 10'000);
  for (const double part : {0.01, 0.5, 0.9, 0.99, 1.0}) {
    const double exact = part * 10'000'000;
    const auto told = static_cast<double>(Latency::quantile(latency.counts(), part));
    EXPECT_GE(told, exact * 0.99) << part;
    EXPECT_LE(told, exact * 1.14) << part;
  }
}

TEST(Latency, TakesTheShortestAndTheLongest) {
  Latency latency;
  for (const int64_t value : {int64_t{-1}, int64_t{0}, int64_t{1}, int64_t{1023}}) {
    latency.add(value);
  }
  EXPECT_EQ(Latency::quantile(latency.counts(), 1), 1024);
  latency.add(INT64_MAX);
  EXPECT_GT(Latency::quantile(latency.counts(), 1), 100'000'000'000);
}

TEST(CallRates, CountsCallsAndFailures) {
  MethodTable methods;
  MethodSlot* slot = methods.slot("/a.B/C");
  Timer timer;
  Metrics metrics;
  CallRates rates(&methods, &metrics, &timer);
  for (int i = 0; i < 100; ++i) slot->count(IMCTL_OK, 1);
  for (int i = 0; i < 20; ++i) slot->count(IMCTL_INTERNAL, 1);
  slot->count(IMCTL_NOT_FOUND, 1);
  const CallTotals totals = total_calls(methods);
  EXPECT_EQ(totals.ended, 121U);
  EXPECT_EQ(totals.failed, 20U);
  const CallRates::Rates lately = rates.lately();
  EXPECT_GT(lately.ended, 0);
  EXPECT_NEAR(lately.failed / lately.ended, 20.0 / 121, 0.01);
  // One that modules began to count after the last look counts from 0.
  Metric* metric = metrics.get(IMCTL_COUNTER, "things_total", "kind=\"a\"", "");
  metric->add(121);
  EXPECT_EQ(metrics.find("things_total", "kind=\"a\""), metric);
  EXPECT_EQ(metrics.find("things_total", ""), nullptr);
  EXPECT_NEAR(rates.lately(*metric) / lately.ended, 1, 0.5);
  timer.stop();
}

TEST(ProcessFacts, AreOfThisProcess) {
  const ProcessFacts facts = process_facts();
  EXPECT_GT(facts.resident, 1U << 20);
  EXPECT_GE(facts.threads, 1U);
  EXPECT_GE(facts.open_files, 3U);
}

TEST(ProcessFacts, SizeOfAFolder) {
  const std::string folder = testing::TempDir() + "/facts";
  std::filesystem::create_directories(folder + "/below");
  std::ofstream(folder + "/below/file") << std::string(100'000, 'x');
  EXPECT_GE(folder_size(folder), 100'000U);
  EXPECT_LT(folder_size(folder), 200'000U);
  std::filesystem::remove_all(folder);
  EXPECT_EQ(folder_size(folder), 0U);
}

// Waits where everybody can see it.
class Waiter {
 public:
  Waiter() : thread_([this] { wait_to_be_seen(); }) {
    pthread_setname_np(thread_.native_handle(), "to-be-seen");
    here_.wait(false);
  }
  ~Waiter() {
    {
      std::lock_guard lock(mutex_);
      done_ = true;
    }
    wake_.notify_one();
    thread_.join();
  }

 private:
  __attribute__((noinline)) void wait_to_be_seen() {
    std::unique_lock lock(mutex_);
    here_ = true;
    here_.notify_one();
    wake_.wait(lock, [this] { return done_; });
  }

  std::mutex mutex_;
  std::condition_variable wake_;
  bool done_ = false;
  std::atomic<bool> here_ = false;
  std::thread thread_;
};

std::string text_of(const ThreadStack& stack) {
  std::string text;
  for (const Frame& frame : stack.frames) text += frame.function + " " + frame.location + "\n";
  return text;
}

TEST(Stacks, NameThreadsAndFunctions) {
  Waiter waiter;
  for (int again = 0; again < 3; ++again) {
    const std::vector<ThreadStack> stacks = all_stacks();
    auto found = std::find_if(stacks.begin(), stacks.end(),
                              [](const ThreadStack& stack) { return stack.name == "to-be-seen"; });
    ASSERT_NE(found, stacks.end());
    EXPECT_TRUE(std::any_of(found->frames.begin(), found->frames.end(), [](const Frame& frame) {
      return frame.function.find("Waiter::wait_to_be_seen") != std::string::npos;
    })) << text_of(*found);
  }
}

// A thread that does not answer is told of, and the others all the same.
TEST(Stacks, OfThreadsThatDoNotAnswer) {
  std::atomic<bool> ready = false;
  std::atomic<bool> done = false;
  std::thread deaf([&] {
    pthread_setname_np(pthread_self(), "deaf");
    sigset_t all;
    sigfillset(&all);
    pthread_sigmask(SIG_BLOCK, &all, nullptr);
    ready = true;
    ready.notify_one();
    done.wait(false);
    // What was asked meanwhile comes now, and nobody waits for it.
    pthread_sigmask(SIG_UNBLOCK, &all, nullptr);
  });
  ready.wait(false);
  const std::vector<ThreadStack> stacks = all_stacks();
  done = true;
  done.notify_one();
  deaf.join();
  for (const ThreadStack& stack : stacks) {
    if (stack.name == "deaf") {
      EXPECT_TRUE(stack.frames.empty());
    }
    if (stack.thread == ::gettid()) {
      EXPECT_FALSE(stack.frames.empty());
    }
  }
  EXPECT_GE(stacks.size(), 2U);
}

}  // namespace
}  // namespace imctl::host
