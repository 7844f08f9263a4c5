// Timers, tickets, generators.
#include <gtest/gtest.h>

#include "backoff.h"
#include "slab.h"
#include "timers.h"

namespace imctl::router {
namespace {

TEST(Timers, ComeInOrder) {
  Timers timers;
  Random random(7);
  for (uint64_t i = 0; i < 1000; ++i) timers.add(static_cast<Time>(random.below(100)), i);
  Time last = 0;
  size_t count = 0;
  Timers::Entry due;
  while (timers.due(100, &due)) {
    EXPECT_LE(last, due.at);
    last = due.at;
    ++count;
  }
  EXPECT_EQ(count, 1000U);
  EXPECT_EQ(timers.next(), kNever);
}

TEST(Slab, ATicketIsAnsweredOnce) {
  Slab<int> slab;
  const Ticket a = slab.add(1);
  int value = 0;
  EXPECT_TRUE(slab.take(a, &value));
  EXPECT_EQ(value, 1);
  const Ticket b = slab.add(2);
  EXPECT_NE(a, b);
  EXPECT_FALSE(slab.take(a, &value));
  EXPECT_EQ(slab.find(a), nullptr);
  EXPECT_EQ(*slab.find(b), 2);
  EXPECT_FALSE(slab.take(12345, &value));
  EXPECT_EQ(slab.size(), 1U);
}

TEST(Backoff, GrowsToItsBoundWithFullJitter) {
  Random random(3);
  Time least = 1000000;
  for (uint32_t failures = 1; failures < 100; ++failures) {
    const Time pause = backoff(random, failures, 100, 5000);
    EXPECT_GE(pause, 1);
    EXPECT_LE(pause, 5000);
    EXPECT_TRUE(failures > 1 || pause <= 100);
    least = std::min(least, pause);
  }
  EXPECT_LT(least, 500);
}

TEST(Random, IsTheSameForASeed) {
  Random a(5);
  Random b(5);
  for (int i = 0; i < 100; ++i) EXPECT_EQ(a.next(), b.next());
  EXPECT_EQ(a.below(0), 0U);
}

}  // namespace
}  // namespace imctl::router
