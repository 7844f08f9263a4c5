// A node and its services: joining, the home, the way of pushes.
#include <gtest/gtest.h>

#include <algorithm>

#include "node.h"
#include "test_kit.h"

namespace imctl::router {
namespace {

NodeSettings settings() {
  NodeSettings settings;
  settings.node = "n1";
  settings.boot = 1;
  settings.clustered = true;
  return settings;
}

class LinksTest : public testing::Test {
 protected:
  LinksTest() : node(settings(), 1) {}

  void join(LinkId link, const std::string& service, uint64_t nodes = 2) {
    node.link_up(now, link);
    node.frame(now, link, Joined{service, 1, 15000, 0});
    node.frame(now, link, Members{nodes});
  }
  // A session that stands after `last` of epoch 1.
  void open(SessionId id, const std::string& user, uint64_t last = 4) {
    Hello hello;
    hello.session = id;
    hello.user = user;
    hello.start = {Start::From::kAfter, 1, last};
    node.connect(now, hello);
    const Ticket ticket = all_of<StartRead>(take(node)).at(0).ticket;
    node.page(now, ticket, page_of(1, 1, last, 1, 0));
  }
  // Keeps the links alive; there is nothing new in the store.
  NodeActions run(Time by) {
    NodeActions all;
    const Time to = now + by;
    while (std::min(node.next_deadline(), now + 1000) <= to) {
      now = std::max(now, std::min(node.next_deadline(), now + 1000));
      node.tick(now);
      for (const LinkId link : alive) node.frame(now, link, Members{2});
      NodeActions some = take(node);
      for (const StartRead& read : all_of<StartRead>(some)) {
        node.page(now, read.ticket, page_of(1, 1, read.after, 1, 0));
      }
      std::move(some.begin(), some.end(), std::back_inserter(all));
    }
    now = to;
    return all;
  }
  Push push_to(const std::string& user, uint64_t sequence, SessionId session) {
    Push push;
    push.from_node = "n2";
    push.to_node = "n1";
    push.payload = text("hello");
    push.targets.push_back({user, 1, sequence, session});
    return push;
  }

  // More than the links take. Gives how many bytes wait.
  size_t fill_queue() {
    size_t queued = 0;
    auto count = [&](const NodeActions& actions) {
      for (const SendFrame& sent : all_of<SendFrame>(actions)) queued += sent.size;
    };
    count(take(node));
    for (int i = 0; i < 1000; ++i) {
      node.publish(now, {{"bob@x", 1, 7}}, 5, text(std::string(60000, 'x')));
    }
    const NodeActions actions = take(node);
    count(actions);
    EXPECT_GT(node.stats().pushes_dropped, 0U);
    EXPECT_TRUE(frames_of<Lost>(actions).empty());
    return queued;
  }

  Time now = 100000;
  NodeMachine node;
  std::vector<LinkId> alive;
};

TEST_F(LinksTest, JoinsAndRegistersWhatItHas) {
  open(1, "ann@x");
  open(2, "bob@x");
  node.link_up(now, 1);
  NodeActions actions = take(node);
  ASSERT_EQ(frames_of<Join>(actions, 1).size(), 1U);
  EXPECT_EQ(frames_of<Join>(actions, 1)[0].boot, 1U);
  node.frame(now, 1, Joined{"s1", 1, 15000, 0});
  alive = {1};
  actions = run(settings().register_spread + 1000);
  ASSERT_EQ(frames_of<Sessions>(actions, 1).size(), 1U);
  const Sessions snapshot = frames_of<Sessions>(actions, 1)[0];
  EXPECT_TRUE(snapshot.first && snapshot.last);
  EXPECT_EQ(snapshot.added.size(), 2U);
  // Then changes, several in one frame.
  open(3, "cid@x");
  node.gone(now, 1);
  Hello hello;
  hello.session = 4;
  hello.user = "dan@x";
  node.connect(now, hello);
  actions = take(node);
  size_t added = 0;
  size_t removed = 0;
  for (const Sessions& each : frames_of<Sessions>(actions, 1)) {
    EXPECT_FALSE(each.first || each.last);
    added += each.added.size();
    removed += each.removed.size();
  }
  EXPECT_EQ(added, 1U);  // the other one went out with the actions of open()
  EXPECT_EQ(removed, 1U);
}

TEST_F(LinksTest, OneFrameAMessageThroughOneService) {
  join(1, "s1");
  join(2, "s2");
  alive = {1, 2};
  run(5000);
  open(1, "ann@x", 1);
  take(node);
  node.publish(now, {{"ann@x", 1, 2}, {"bob@x", 1, 7}, {"cid@x", 1, 9}}, 5, text("m"));
  const NodeActions actions = take(node);
  EXPECT_EQ(all_of<Deliver>(actions).size(), 1U);
  const auto pushes = frames_of<Push>(actions);
  ASSERT_EQ(pushes.size(), 1U);
  EXPECT_EQ(pushes[0].targets.size(), 3U);
  EXPECT_EQ(*pushes[0].payload, "m");
  EXPECT_EQ(pushes[0].from_node, "n1");
}

TEST_F(LinksTest, ALargeMessageIsAHint) {
  join(1, "s1");
  node.publish(now, {{"bob@x", 1, 7}}, 5, text(std::string(65537, 'x')));
  const auto pushes = frames_of<Push>(take(node));
  ASSERT_EQ(pushes.size(), 1U);
  EXPECT_EQ(pushes[0].payload, nullptr);
}

TEST_F(LinksTest, ANodeThatIsAloneSendsNothing) {
  join(1, "s1", 1);
  node.publish(now, {{"bob@x", 1, 7}}, 5, text("m"));
  EXPECT_TRUE(frames_of<Push>(take(node)).empty());
}

TEST_F(LinksTest, APushForNobodyHereIsAnsweredWithANack) {
  join(1, "s1");
  open(5, "ann@x");
  take(node);
  node.frame(now, 1, push_to("bob@x", 3, 2));
  auto nacks = frames_of<Nack>(take(node), 1);
  ASSERT_EQ(nacks.size(), 1U);
  EXPECT_EQ(nacks[0].users.at(0).user, "bob@x");
  EXPECT_EQ(nacks[0].users.at(0).session, 2U);
  // An older session than the one that is here: delivered, and said so.
  node.frame(now, 1, push_to("ann@x", 5, 4));
  NodeActions actions = take(node);
  EXPECT_EQ(all_of<Deliver>(actions).size(), 1U);
  EXPECT_EQ(frames_of<Nack>(actions, 1).size(), 1U);
  node.frame(now, 1, push_to("ann@x", 6, 5));
  actions = take(node);
  EXPECT_EQ(all_of<Deliver>(actions).size(), 1U);
  EXPECT_TRUE(frames_of<Nack>(actions, 1).empty());
}

TEST_F(LinksTest, WhatAServiceIsUnsureOfGoesThroughTheOthersAsAHint) {
  join(1, "s1");
  join(2, "s2");
  join(3, "s3");
  take(node);
  node.frame(now, 1, Unsure{5, {{"bob@x", 1, 7, 0}}});
  const NodeActions actions = take(node);
  EXPECT_TRUE(frames_of<Push>(actions, 1).empty());
  for (const LinkId link : {2, 3}) {
    const auto pushes = frames_of<Push>(actions, link);
    ASSERT_EQ(pushes.size(), 1U);
    EXPECT_TRUE(pushes[0].own_only);
    EXPECT_EQ(pushes[0].payload, nullptr);
  }
}

TEST_F(LinksTest, AHomeThatIsLostIsReplacedWithJitterAndPushesAreLookedFor) {
  open(1, "ann@x");
  join(1, "s1");
  join(2, "s2");
  alive = {1, 2};
  NodeActions actions = run(20000);
  const LinkId home = frames_of<Sessions>(actions, 1).empty() ? 2 : 1;
  const LinkId other = 3 - home;
  node.frame(now, home, Registered{});
  node.publish(now, {{"bob@x", 1, 7}}, 5, text("m"));
  take(node);
  alive = {other};
  node.link_down(now, home);
  actions = take(node);
  // It took a push just now, of which nobody knows what became.
  EXPECT_EQ(frames_of<Lost>(actions, other).size(), 1U);
  EXPECT_TRUE(frames_of<Sessions>(actions, other).empty());
  actions = run(settings().register_spread + settings().resync_spread);
  EXPECT_EQ(frames_of<Sessions>(actions, other).size(), 1U);
  EXPECT_EQ(all_of<StartRead>(actions).size(), 1U);
}

TEST_F(LinksTest, TheBetterHomeIsTakenWhenItHasStoodAndTheOldOneIsTold) {
  open(1, "ann@x");
  join(1, "s1");
  alive = {1};
  run(30000);
  node.frame(now, 1, Registered{});
  // One of many is better than s1.
  for (LinkId link = 2; link < 10; ++link) {
    join(link, "s" + std::to_string(link));
    alive.push_back(link);
  }
  NodeActions actions = run(settings().home_settle - 1);
  EXPECT_TRUE(frames_of<Sessions>(actions).empty());
  actions = run(settings().register_spread + 1000);
  ASSERT_EQ(frames_of<Sessions>(actions).size(), 1U);
  const LinkId home = [&] {
    for (const SendFrame& sent : all_of<SendFrame>(actions)) {
      if (std::holds_alternative<Sessions>(sent.frame)) return sent.link;
    }
    return LinkId{0};
  }();
  node.frame(now, home, Registered{});
  const auto old = frames_of<Sessions>(take(node), 1);
  ASSERT_EQ(old.size(), 1U);
  EXPECT_TRUE(old[0].first && old[0].last && old[0].added.empty());
}

TEST_F(LinksTest, ASilentServiceIsDropped) {
  join(1, "s1");
  const NodeActions actions = run(15000);
  ASSERT_EQ(all_of<DropLink>(actions).size(), 1U);
  EXPECT_GE(frames_of<Renew>(actions, 1).size(), 2U);
}

TEST_F(LinksTest, AQueueThatIsFullDropsPushesAndSaysSoLater) {
  join(1, "s1");
  const size_t queued = fill_queue();
  EXPECT_LE(queued, settings().max_link_queue);
  node.link_written(now, 1, queued);
  EXPECT_EQ(frames_of<Lost>(take(node)).size(), 1U);
}

// It may have been said into a link that the service had given up already.
TEST_F(LinksTest, WhatWasSaidOfLostPushesIsSaidAgainAfterTheLinkEnded) {
  join(1, "s1");
  const size_t queued = fill_queue();
  now += 14000;
  node.link_written(now, 1, queued);
  EXPECT_EQ(frames_of<Lost>(take(node), 1).size(), 1U);
  now += 14000;
  node.link_down(now, 1);
  join(2, "s1");
  EXPECT_EQ(frames_of<Lost>(take(node), 2).size(), 1U);
}

TEST_F(LinksTest, AServiceThatWasAwayIsToldThatItMayHaveMissedAHint) {
  join(1, "s1");
  join(2, "s2");
  join(3, "s3");
  node.link_down(now, 3);
  take(node);
  node.frame(now, 1, Unsure{5, {{"ann@x", 1, 7, 0}}});
  NodeActions actions = take(node);
  EXPECT_EQ(frames_of<Push>(actions, 2).size(), 1U);
  EXPECT_TRUE(frames_of<Lost>(actions).empty());
  join(4, "s3");
  actions = take(node);
  EXPECT_EQ(frames_of<Lost>(actions, 4).size(), 1U);
  EXPECT_EQ(frames_of<Lost>(actions).size(), 1U);
  // Once.
  now += 20000;
  node.link_down(now, 4);
  join(5, "s3");
  EXPECT_TRUE(frames_of<Lost>(take(node)).empty());
}

TEST_F(LinksTest, AServiceThatSaysWhatItMayNotIsDropped) {
  node.link_up(now, 1);
  node.frame(now, 1, Resync{});
  EXPECT_EQ(all_of<DropLink>(take(node)).size(), 1U);
  join(2, "s2");
  node.frame(now, 2, Nack{});
  EXPECT_EQ(all_of<DropLink>(take(node)).size(), 1U);
  EXPECT_EQ(node.stats().links, 0U);
}

TEST_F(LinksTest, ANodeWhoseLaterStartHasJoinedClosesItsSessions) {
  open(1, "ann@x");
  take(node);
  node.link_up(now, 1);
  node.frame(now, 1, Superseded{2});
  EXPECT_EQ(all_of<Close>(take(node)).size(), 1U);
  EXPECT_TRUE(node.stats().superseded);
  Hello hello;
  hello.session = 2;
  hello.user = "ann@x";
  node.connect(now, hello);
  EXPECT_EQ(all_of<Close>(take(node)).size(), 1U);
}

TEST_F(LinksTest, ASnapshotOfManyGoesInBatches) {
  for (SessionId id = 1; id <= 2500; ++id) {
    Hello hello;
    hello.session = id;
    hello.user = "u" + std::to_string(id) + "@x";
    node.connect(now, hello);
  }
  take(node);
  join(1, "s1");
  alive = {1};
  const auto frames = frames_of<Sessions>(run(5000), 1);
  ASSERT_EQ(frames.size(), 3U);
  EXPECT_TRUE(frames[0].first && !frames[0].last);
  EXPECT_TRUE(!frames[2].first && frames[2].last);
  EXPECT_EQ(frames[0].added.size() + frames[1].added.size() + frames[2].added.size(), 2500U);
}

}  // namespace
}  // namespace imctl::router
