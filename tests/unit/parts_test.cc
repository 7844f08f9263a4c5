// The core's small parts.
#include <gtest/gtest.h>

#include <atomic>
#include <thread>

#include "core/health.h"
#include "core/log.h"
#include "road/buffer.h"
#include "road/metrics.h"
#include "road/pool.h"
#include "road/timer.h"

namespace imctl::host {
namespace {

TEST(Buffer, WrappedIsReleasedOnceByTheLastOwner) {
  int released = 0;
  {
    BufferRef first(buffer_wrap(
        "abc", 3, [](void* user) { ++*static_cast<int*>(user); }, &released));
    BufferRef second = first;  // NOLINT: one more owner is the point
    first = BufferRef();
    EXPECT_EQ(second.view(), "abc");
    EXPECT_EQ(released, 0);
  }
  EXPECT_EQ(released, 1);
}

TEST(Buffer, TooLargeIsRefused) { EXPECT_EQ(buffer_new(SIZE_MAX), nullptr); }

TEST(Pool, RunsAllThatItAcceptedBeforeItStops) {
  std::atomic<int> ran{0};
  {
    Pool pool("test", {2, 100, 1000});
    for (int i = 0; i < 50; ++i) {
      EXPECT_TRUE(pool.post([](void* user) { ++*static_cast<std::atomic<int>*>(user); }, &ran));
    }
  }
  EXPECT_EQ(ran, 50);
}

TEST(Pool, IsBoundedInPiecesAndBytes) {
  std::atomic<bool> go{false};
  Pool pool("test", {1, 2, 1000});
  auto wait = [](void* user) {
    while (!*static_cast<std::atomic<bool>*>(user)) std::this_thread::yield();
  };
  ASSERT_TRUE(pool.post(wait, &go));
  int accepted = 0;
  while (pool.post(wait, &go)) ++accepted;
  EXPECT_LE(accepted, 3);  // two wait, and maybe the first was taken meanwhile
  go = true;
  pool.stop();
  EXPECT_FALSE(pool.post(wait, &go));

  std::atomic<bool> go2{false};
  Pool bytes("test", {1, 100, 1000});
  ASSERT_TRUE(bytes.post(wait, &go2, 5000));  // alone, it passes
  int taken = 0;
  while (bytes.post(wait, &go2, 600)) ++taken;
  EXPECT_LE(taken, 2);
  go2 = true;
}

TEST(Timer, RunsInOrderAndForgets) {
  std::atomic<int> ran{0};
  std::atomic<bool> wrong{false};
  Timer timer;
  int64_t now = monotonic_now();
  Timer::Id forgotten = timer.at(now + 5'000'000'000, [&] { wrong = true; });
  timer.at(now + 20'000'000, [&] { ran = ran == 1 ? 2 : -1; });
  timer.at(now + 1'000'000, [&] { ran = 1; });
  timer.cancel(forgotten);
  while (ran != 2 && ran != -1) std::this_thread::yield();
  EXPECT_EQ(ran, 2);
  EXPECT_FALSE(wrong);
}

TEST(Metrics, KindsAndNames) {
  Metrics metrics;
  Metric* counter = metrics.get(IMCTL_COUNTER, "things_total", "a=\"1\"", "Things");
  ASSERT_NE(counter, nullptr);
  EXPECT_EQ(metrics.get(IMCTL_COUNTER, "things_total", "a=\"1\"", ""), counter);
  EXPECT_NE(metrics.get(IMCTL_COUNTER, "things_total", "a=\"2\"", ""), counter);
  EXPECT_EQ(metrics.get(IMCTL_GAUGE, "things_total", "a=\"3\"", ""), nullptr);
  EXPECT_EQ(metrics.get(IMCTL_GAUGE, "no name", "", ""), nullptr);
  Metric* histogram = metrics.get(IMCTL_HISTOGRAM, "seconds", "", "");
  histogram->observe(0.003);
  histogram->observe(100);
  EXPECT_EQ(histogram->count(), 2u);
  EXPECT_EQ(histogram->bucket(3), 0u);  // 1 ms
  EXPECT_EQ(histogram->bucket(5), 1u);  // 5 ms
}

TEST(Health, TellsWatchers) {
  Health health;
  int changes = 0;
  uint64_t id = health.watch([&] { ++changes; });
  health.set("a", true);
  EXPECT_EQ(health.get("a"), true);
  EXPECT_FALSE(health.get("b").has_value());
  health.unwatch(id);
  health.set("a", false);
  EXPECT_EQ(changes, 1);
}

TEST(Log, Levels) {
  EXPECT_EQ(parse_log_level("debug"), IMCTL_LOG_DEBUG);
  EXPECT_EQ(parse_log_level("-4"), IMCTL_LOG_DEBUG);
  EXPECT_EQ(parse_log_level("0"), IMCTL_LOG_INFO);
  EXPECT_EQ(parse_log_level("4"), IMCTL_LOG_WARN);
  EXPECT_EQ(parse_log_level("8"), IMCTL_LOG_ERROR);
  EXPECT_FALSE(parse_log_level("loud").has_value());
}

}  // namespace
}  // namespace imctl::host
