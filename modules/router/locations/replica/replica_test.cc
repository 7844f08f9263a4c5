#include "replica/replica.h"

#include <gtest/gtest.h>

#include "replica/test_net.h"

namespace imctl::locations {
namespace {

using Found = std::set<std::string>;

std::vector<Location> many(const std::string& node, size_t count) {
  std::vector<Location> made;
  for (size_t i = 1; i <= count; ++i) made.push_back(place("u" + std::to_string(i), node, 1, i));
  return made;
}

class ReplicaTest : public ::testing::Test {
 protected:
  void start_two() {
    net_.start("a");
    net_.start("b");
    net_.run(4000);
  }
  // Time until `name` is sure again; -1: not within a minute.
  Time until_sure(const std::string& name, const std::function<void()>& each = nullptr) {
    const Time begun = net_.now;
    while (net_.now - begun < 60000) {
      if (net_.at(name).sure(net_.now, "")) return net_.now - begun;
      net_.run(10, each);
    }
    return -1;
  }
  Net net_{7};
};

TEST_F(ReplicaTest, ChangesReachOthersAtOnce) {
  start_two();
  Reporter sa(&net_, "a", "sa", 1);
  EXPECT_EQ(sa.all({place("ann", "n1", 1, 1)}), Verdict::kTaken);
  net_.run(20);
  EXPECT_EQ(net_.find("b", "ann"), Found{"n1/1/1"});
  EXPECT_EQ(net_.find("a", "ann", "sa"), Found{}) << "its own are not answered";
  EXPECT_EQ(net_.at("b").peers(net_.now, "sb"), 1);
  EXPECT_EQ(net_.at("a").peers(net_.now, "sa"), 0);
  sa.add(place("bob", "n1", 1, 2));
  sa.remove({"n1", 1, 1});
  sa.flush();
  net_.run(20);
  EXPECT_EQ(net_.find("b", "ann"), Found{});
  EXPECT_EQ(net_.find("b", "bob"), Found{"n1/1/2"});
  EXPECT_EQ(net_.at("b").doubt(net_.now, ""), "");
}

TEST_F(ReplicaTest, OneThatComesLaterFetchesEverything) {
  net_.start("a");
  Reporter sa(&net_, "a", "sa", 1);
  sa.all(many("n1", 5000), 10);
  net_.run(5000, [&] {
    if (net_.now % 1000 == 0) sa.flush();
  });
  net_.start("b");
  EXPECT_FALSE(net_.at("b").sure(net_.now, ""));
  EXPECT_GE(until_sure("b"), 3000) << "sure before everybody could be heard";
  EXPECT_EQ(net_.at("b").table().size(), 5000);
  EXPECT_EQ(net_.find("b", "u77"), Found{"n1/1/77"});
}

TEST_F(ReplicaTest, AServiceThatHasNotReportedEverythingMakesOthersUnsure) {
  start_two();
  ASSERT_TRUE(net_.at("b").sure(net_.now, ""));
  Report report;
  report.service = "sa";
  report.boot = report.number = 1;
  report.begin = true;
  report.lease = 15000;
  net_.report("a", report);
  net_.run(20);
  EXPECT_FALSE(net_.at("b").sure(net_.now, ""));
  EXPECT_EQ(net_.at("b").doubt(net_.now, ""), "the service sa has not reported everything yet");
  EXPECT_TRUE(net_.at("a").sure(net_.now, "sa")) << "of others' locations it can be";
  report.number = 2;
  report.begin = false;
  report.end = true;
  net_.report("a", report);
  net_.run(20);
  EXPECT_TRUE(net_.at("b").sure(net_.now, ""));
}

TEST_F(ReplicaTest, AMissedChangeIsFoundAndOnlyWhatDiffersIsFetched) {
  start_two();
  Reporter sa(&net_, "a", "sa", 1);
  sa.all(many("n1", 20000), 20);
  net_.run(100);
  ASSERT_TRUE(net_.at("b").sure(net_.now, ""));
  net_.faults.loss = 1;
  sa.remove({"n1", 1, 7});
  sa.add(place("new", "n1", 1, 90001));
  sa.flush();
  net_.run(10);
  net_.faults.loss = 0;
  EXPECT_EQ(net_.find("b", "u7"), Found{"n1/1/7"});
  net_.run(2000, [&] {
    if (net_.now % 1000 == 0) sa.flush();
  });
  EXPECT_EQ(net_.find("b", "u7"), Found{});
  EXPECT_EQ(net_.find("b", "new"), Found{"n1/1/90001"});
  EXPECT_EQ(net_.at("b").doubt(net_.now, ""), "");
  EXPECT_GE(net_.at("b").counts().gaps, 1);
  EXPECT_LE(net_.at("b").counts().repaired, 2);
}

TEST_F(ReplicaTest, OneThatIsSilentTakesItsLocationsWithItAndIsNotBelievedUnverified) {
  start_two();
  Reporter sa(&net_, "a", "sa", 1, 5000);
  sa.all(many("n1", 100));
  net_.run(20);
  ASSERT_EQ(net_.find("b", "u1"), Found{"n1/1/1"});
  net_.pause("a", true);
  net_.run(4900);
  EXPECT_EQ(net_.find("b", "u1"), Found{"n1/1/1"});
  net_.run(200);
  EXPECT_EQ(net_.find("b", "u1"), Found{});
  EXPECT_EQ(net_.at("b").peers(net_.now, "sb"), 0);
  // It speaks again: its own lease was over, so it asks for everything.
  net_.pause("a", false);
  net_.run(3000);
  EXPECT_EQ(net_.find("b", "u1"), Found{});
  EXPECT_EQ(sa.flush(), Verdict::kReportAll);
  sa.all(many("n1", 100));
  net_.run(20);
  EXPECT_EQ(net_.find("b", "u1"), Found{"n1/1/1"});
}

TEST_F(ReplicaTest, AGoodbyeTakesEffectAtOnce) {
  start_two();
  Reporter sa(&net_, "a", "sa", 1);
  sa.all(many("n1", 10));
  net_.run(20);
  EXPECT_EQ(sa.leave(), Verdict::kTaken);
  net_.run(20);
  EXPECT_EQ(net_.find("b", "u1"), Found{});
  EXPECT_EQ(net_.at("b").peers(net_.now, ""), 0);
  EXPECT_TRUE(net_.at("b").sure(net_.now, ""));
}

TEST_F(ReplicaTest, ANewerProcessReplacesTheOlderWhereverItReports) {
  start_two();
  net_.start("c");
  net_.run(4000);
  Reporter old(&net_, "a", "s", 1);
  Reporter now(&net_, "b", "s", 2);
  old.all({place("ann", "n1", 1, 1)});
  net_.run(20);
  ASSERT_EQ(net_.find("c", "ann"), Found{"n1/1/1"});
  EXPECT_EQ(now.flush(), Verdict::kReportAll);
  now.all({place("bob", "n1", 1, 2)});
  net_.run(20);
  EXPECT_EQ(net_.find("c", "ann"), Found{});
  EXPECT_EQ(net_.find("c", "bob"), Found{"n1/1/2"});
  EXPECT_EQ(old.flush(), Verdict::kOlder);
  EXPECT_EQ(old.all({place("ann", "n1", 1, 1)}), Verdict::kOlder);
  net_.run(3000);
  EXPECT_EQ(net_.find("c", "ann"), Found{});
}

TEST_F(ReplicaTest, ReportsCountOnceAndInOrder) {
  start_two();
  Reporter sa(&net_, "a", "sa", 1);
  EXPECT_EQ(sa.flush(), Verdict::kReportAll) << "nothing is known of it";
  sa.all({place("ann", "n1", 1, 1)});
  sa.remove({"n1", 1, 1});
  sa.flush();
  --sa.number;
  sa.add(place("ann", "n1", 1, 1));
  EXPECT_EQ(sa.flush(), Verdict::kTaken) << "one that was made before";
  EXPECT_EQ(net_.find("a", "ann"), Found{});
  ++sa.number;
  sa.add(place("ann", "n1", 1, 1));
  EXPECT_EQ(sa.flush(), Verdict::kReportAll) << "a number is missing";
  EXPECT_EQ(net_.find("a", "ann"), Found{});
}

TEST_F(ReplicaTest, WhatIsNotNamedAgainIsGoneAtTheEnd) {
  start_two();
  Reporter sa(&net_, "a", "sa", 1);
  sa.all(many("n1", 10));
  std::vector<Location> fewer = many("n1", 10);
  fewer.erase(fewer.begin());
  sa.all(fewer, 3);
  net_.run(20);
  EXPECT_EQ(net_.find("b", "u1"), Found{});
  EXPECT_EQ(net_.find("b", "u2"), Found{"n1/1/2"});
  EXPECT_EQ(net_.at("b").table().size(), 9);
}

TEST_F(ReplicaTest, ABrokerThatWasAwayIsCaughtUpWithoutSendingEverything) {
  start_two();
  Reporter sa(&net_, "a", "sa", 1);
  auto renew = [&] {
    if (net_.now % 1000 == 0) sa.flush();
  };
  sa.all(many("n1", 20000), 20);
  net_.run(3000, renew);
  net_.broker(false);
  EXPECT_FALSE(net_.at("b").sure(net_.now, ""));
  sa.remove({"n1", 1, 7});
  net_.run(60000, renew);
  EXPECT_EQ(net_.find("b", "u1"), Found{}) << "nothing is shown beyond its lease";
  net_.broker(true);
  const Time took = until_sure("b", renew);
  EXPECT_GE(took, 0);
  EXPECT_LE(took, 6000);
  EXPECT_EQ(net_.find("b", "u1"), Found{"n1/1/1"});
  EXPECT_EQ(net_.find("b", "u7"), Found{});
  EXPECT_LE(net_.at("b").counts().repaired, 1);
}

TEST_F(ReplicaTest, WhatAStoppedBrokerHeldRenewsNoLease) {
  start_two();
  Reporter sa(&net_, "a", "sa", 1, 5000);
  sa.all(many("n1", 10));
  net_.run(1000);
  net_.stop_broker(true);
  net_.run(4000, [&] {
    if (net_.now % 1000 == 0) sa.flush();
  });
  net_.kill("a");  // with its beats in the broker
  net_.run(6000);
  EXPECT_EQ(net_.find("b", "u1"), Found{});
  net_.stop_broker(false);
  net_.run(8000, [&] { EXPECT_EQ(net_.find("b", "u1"), Found{}) << "at " << net_.now; });
}

TEST_F(ReplicaTest, WhoComesFetchesOnceForAll) {
  net_.start("a");
  Reporter sa(&net_, "a", "sa", 1, 60000);
  sa.all(many("n1", 20000), 20);
  net_.run(3000);
  for (const char* name : {"b", "c", "d", "e", "f", "g"}) net_.start(name);
  net_.run(8000);
  for (const char* name : {"b", "c", "d", "e", "f", "g"}) {
    EXPECT_TRUE(net_.at(name).sure(net_.now, "")) << name;
    EXPECT_EQ(net_.at(name).table().size(), 20000);
  }
  EXPECT_LE(net_.at("a").counts().served, 2 * kBuckets) << "of six that asked";
}

TEST_F(ReplicaTest, NoMessageIsLargerThanItsBound) {
  start_two();
  const Replica::Options defaults;
  Replica::Options options;
  options.instance = 99;
  Replica replica(options);
  Replica::Output out;
  replica.set_connected(0, true, &out);
  Report report;
  report.service = "s";
  report.boot = report.number = 1;
  report.begin = report.end = true;
  report.lease = 60000;
  report.change.add = many("n1", 50000);
  replica.report(0, report, &out);
  Ask ask;
  ask.service = "s";
  ask.epoch = {1, options.incarnation + 1};
  replica.receive(1, {5, ask}, &out);
  for (Time now = 100; now < 2000; now += 100) {
    const size_t before = out.size();
    replica.tick(now, &out);
    size_t bytes = 0;
    for (size_t i = before; i < out.size(); ++i) {
      if (const auto* part = std::get_if<Part>(&out[i].body)) {
        for (const Bucket& bucket : part->buckets) {
          for (const Location& location : bucket.locations) bytes += bytes_of(location);
        }
      }
    }
    EXPECT_LE(bytes, options.burst + options.message_bytes);
  }
  size_t deltas = 0;
  size_t buckets = 0;
  for (const Message& message : out) {
    size_t bytes = 0;
    if (const auto* delta = std::get_if<Delta>(&message.body)) {
      ++deltas;
      for (const Location& location : delta->change.add) bytes += bytes_of(location);
    } else if (const auto* part = std::get_if<Part>(&message.body)) {
      buckets += part->buckets.size();
      for (const Bucket& bucket : part->buckets) {
        for (const Location& location : bucket.locations) bytes += bytes_of(location);
      }
    }
    EXPECT_LE(bytes, defaults.message_bytes);
  }
  EXPECT_GT(deltas, 10);
  EXPECT_EQ(buckets, kBuckets);
}

TEST_F(ReplicaTest, NonsenseIsLeftAlone) {
  start_two();
  Reporter sa(&net_, "a", "sa", 1);
  sa.all(many("n1", 10));
  net_.run(20);
  const Epoch epoch = net_.at("b").known(net_.now).at(0).epoch;
  Replica::Output out;
  Part part{"sa", epoch, 1, {}};
  part.buckets.push_back({65535, {place("x", "n1", 1, 1)}});
  part.buckets.push_back({3, {place("x", "n1", 1, 500)}});  // synced, so not wanted
  net_.at("b").receive(net_.now, {77, part}, &out);
  net_.at("b").receive(net_.now, {77, Sums{"sa", epoch, 1, {1, 2, 3}}}, &out);
  net_.at("a").receive(net_.now, {77, Ask{"sa", epoch, false, {65535, 4096}}}, &out);
  net_.run(500);
  EXPECT_EQ(net_.find("b", "x"), Found{});
  EXPECT_EQ(net_.at("b").table().size(), 10);
  EXPECT_EQ(net_.at("b").doubt(net_.now, ""), "");
}

TEST_F(ReplicaTest, AloneNothingIsSentOrWaitedFor) {
  Replica::Options options;
  options.alone = true;
  Replica replica(options);
  Replica::Output out;
  Report report;
  report.service = "s";
  report.boot = report.number = 1;
  report.begin = report.end = true;
  report.lease = 1000;
  report.change.add = many("n1", 10);
  EXPECT_EQ(replica.report(0, report, &out), Verdict::kTaken);
  replica.tick(100, &out);
  EXPECT_TRUE(out.empty());
  EXPECT_TRUE(replica.sure(100, "s"));
  EXPECT_EQ(replica.table().size(), 10);
  replica.tick(1000, &out);
  EXPECT_EQ(replica.table().size(), 0);
}

}  // namespace
}  // namespace imctl::locations
