#include "throttle.h"

#include <gtest/gtest.h>

#include <atomic>
#include <thread>
#include <vector>

namespace imctl::user {
namespace {

using std::chrono::milliseconds;
using std::chrono::minutes;
using std::chrono::seconds;

class ThrottleTest : public testing::Test {
 protected:
  milliseconds begin(const std::string& key) { return throttle_.begin(key, limits_, now_); }

  Throttle throttle_{100};
  Throttle::Limits limits_{3, seconds(60)};
  Throttle::Clock::time_point now_ = Throttle::Clock::now();
};

TEST_F(ThrottleTest, TheDelayGrowsUpToTheMost) {
  for (int i = 0; i < 3; ++i) EXPECT_EQ(begin("a").count(), 0);
  for (int wait : {1, 2, 4, 8, 16, 32, 60, 60}) {
    EXPECT_EQ(begin("a"), seconds(wait));
    EXPECT_EQ(begin("a"), seconds(wait));  // to ask does not make it longer
    now_ += seconds(wait) - milliseconds(1);
    EXPECT_EQ(begin("a"), milliseconds(1));
    now_ += milliseconds(1);
    EXPECT_EQ(begin("a").count(), 0);
  }
  EXPECT_EQ(begin("b").count(), 0);
}

TEST_F(ThrottleTest, WhatWentWellIsForgotten) {
  for (int i = 0; i < 3; ++i) begin("a");
  EXPECT_GT(begin("a").count(), 0);
  throttle_.went_well("a", false);
  EXPECT_EQ(begin("a").count(), 0);
  EXPECT_GT(begin("a").count(), 0);
  throttle_.went_well("a", true);
  EXPECT_EQ(throttle_.size(), 0U);
  for (int i = 0; i < 3; ++i) EXPECT_EQ(begin("a").count(), 0);
}

TEST_F(ThrottleTest, ManyAtOnceGainNothing) {
  std::atomic<int> allowed{0};
  std::vector<std::thread> threads;
  for (int i = 0; i < 8; ++i) {
    threads.emplace_back([&] {
      for (int j = 0; j < 100; ++j) {
        if (begin("a").count() == 0) ++allowed;
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(allowed, 3);
}

TEST_F(ThrottleTest, OldFailuresAreForgotten) {
  for (int i = 0; i < 3; ++i) begin("a");
  now_ += minutes(3);
  begin("b");
  EXPECT_EQ(throttle_.size(), 1U);
  EXPECT_EQ(begin("a").count(), 0);
}

TEST_F(ThrottleTest, MemoryIsBounded) {
  for (int i = 0; i < 3; ++i) begin("first");
  for (int i = 0; i < 1000; ++i) {
    begin("x" + std::to_string(i));
    begin("first");
  }
  EXPECT_EQ(throttle_.size(), 100U);
}

TEST(Network, WithoutPorts) {
  EXPECT_EQ(network_of("ipv4:192.0.2.7:4711"), "ipv4:192.0.2.7");
  EXPECT_EQ(network_of("ipv6:[2001:db8:1:2:3:4:5:6]:4711"), "ipv6:2001:db8:1:2::");
  EXPECT_EQ(network_of("ipv6:%5B2001:db8:1:2:9::1%5D:4711"), "ipv6:2001:db8:1:2::");
  EXPECT_EQ(network_of("ipv6:[fe80::1%25eth0]:1"), "ipv6:fe80::");
  EXPECT_EQ(network_of("ipv6:[::ffff:192.0.2.7]:4711"), "ipv4:192.0.2.7");
  for (const char* peer : {"", "unix:", "unix:/run/x", "fd:7"}) EXPECT_EQ(network_of(peer), "");
}

}  // namespace
}  // namespace imctl::user
