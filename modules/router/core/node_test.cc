#include "node.h"

#include <gtest/gtest.h>

#include <algorithm>

#include "test_kit.h"

namespace imctl::router {
namespace {

NodeSettings settings() {
  NodeSettings settings;
  settings.node = "n1";
  settings.boot = 1;
  return settings;
}

class NodeTest : public testing::Test {
 protected:
  explicit NodeTest(const NodeSettings& given = settings()) : node(given, 1) {}

  // A session that has read its mailbox: up to `last` of epoch 1, its device's cursor at `cursor`.
  void open(SessionId id, const std::string& user, const std::string& device, uint64_t last = 0) {
    Hello hello;
    hello.session = id;
    hello.user = user;
    hello.device = device;
    node.connect(now, hello);
    NodeActions actions = take(node);
    if (!device.empty()) {
      ASSERT_EQ(all_of<ListCursors>(actions).size(), 1U);
      CursorPage cursors;
      cursors.epoch = last == 0 ? 0 : 1;
      if (last != 0) cursors.cursors.push_back({device, last, 0});
      node.cursors(now, all_of<ListCursors>(actions)[0].ticket, cursors);
      actions = take(node);
    }
    ASSERT_EQ(all_of<Opened>(actions).size(), 1U);
    ASSERT_EQ(all_of<StartRead>(actions).size(), 1U);
    node.page(now, all_of<StartRead>(actions)[0].ticket, page_of(last == 0 ? 0 : 1, 1, last, 1, 0));
    take(node);
  }
  Stored stored_at(uint64_t sequence, const std::string& mailbox, uint64_t epoch = 1) {
    Stored stored;
    stored.time = 1000;
    stored.positions.push_back({mailbox, epoch, sequence});
    return stored;
  }
  void run_until(Time to) {
    while (node.next_deadline() <= to) {
      now = std::max(now, node.next_deadline());
      node.tick(now);
    }
    now = to;
  }

  Time now = 1000;
  NodeMachine node;
};

TEST_F(NodeTest, AMessageIsStoredThenAnsweredThenDelivered) {
  open(1, "ann@x", "phone");
  open(2, "bob@x", "phone");
  node.send(now, 1, 77, {"bob@x"}, text("hello"), 5);
  NodeActions actions = take(node);
  ASSERT_EQ(actions.size(), 1U);
  const Append append = std::get<Append>(actions[0]);
  EXPECT_EQ(append.recipients, std::vector<std::string>{"bob@x"});
  node.stored(now, append.ticket, stored_at(1, "bob@x"));
  actions = take(node);
  ASSERT_EQ(actions.size(), 2U);
  const Sent& sent = std::get<Sent>(actions[0]);
  EXPECT_EQ(sent.session, 1U);
  EXPECT_EQ(sent.reference, 77U);
  ASSERT_EQ(sent.positions.size(), 1U);
  EXPECT_EQ(sent.positions[0].sequence, 1U);
  const Deliver& delivered = std::get<Deliver>(actions[1]);
  EXPECT_EQ(delivered.session, 2U);
  EXPECT_EQ(delivered.epoch, 1U);
  EXPECT_EQ(delivered.sequence, 1U);
  EXPECT_EQ(*delivered.payload, "hello");
}

TEST_F(NodeTest, WhatIsNotStoredIsRejectedAndNotDelivered) {
  open(1, "ann@x", "phone");
  open(2, "bob@x", "phone");
  node.send(now, 1, 77, {"bob@x"}, text("hello"), 5);
  Stored failed;
  failed.outcome = {Code::kUnavailable, "no storage"};
  node.stored(now, all_of<Append>(take(node))[0].ticket, failed);
  const NodeActions actions = take(node);
  ASSERT_EQ(actions.size(), 1U);
  EXPECT_EQ(std::get<Rejected>(actions[0]).outcome.code, Code::kUnavailable);
}

TEST_F(NodeTest, ASenderThatIsGoneStillHasItsMessageDelivered) {
  open(1, "ann@x", "phone");
  open(2, "bob@x", "phone");
  node.send(now, 1, 77, {"bob@x"}, text("hello"), 5);
  const Ticket ticket = all_of<Append>(take(node))[0].ticket;
  node.gone(now, 1);
  take(node);
  node.stored(now, ticket, stored_at(1, "bob@x"));
  const NodeActions actions = take(node);
  EXPECT_TRUE(all_of<Sent>(actions).empty());
  EXPECT_EQ(all_of<Deliver>(actions).size(), 1U);
  node.stored(now, ticket, stored_at(1, "bob@x"));
  EXPECT_TRUE(take(node).empty());  // a ticket is answered once
}

TEST_F(NodeTest, WhatOneClientSendsIsStoredInItsOrder) {
  open(1, "ann@x", "phone");
  open(2, "bob@x", "phone");
  for (uint64_t reference : {1, 2, 3}) node.send(now, 1, reference, {"bob@x"}, text("m"), 5);
  node.send(now, 2, 9, {"ann@x"}, text("m"), 5);
  NodeActions actions = take(node);
  std::vector<Append> appends = all_of<Append>(actions);
  ASSERT_EQ(appends.size(), 2U);  // Ann's first, Bob's
  const Ticket of_bob = appends[1].ticket;
  node.stored(now, appends[0].ticket, stored_at(1, "bob@x"));
  actions = take(node);
  EXPECT_EQ(all_of<Sent>(actions).at(0).reference, 1U);
  appends = all_of<Append>(actions);
  ASSERT_EQ(appends.size(), 1U);
  // A failure of one is no reason to keep the next.
  Stored failed;
  failed.outcome = {Code::kUnavailable, "no storage"};
  node.stored(now, appends[0].ticket, failed);
  actions = take(node);
  EXPECT_EQ(all_of<Rejected>(actions).at(0).reference, 2U);
  ASSERT_EQ(all_of<Append>(actions).size(), 1U);
  // What waits goes with the session.
  node.send(now, 1, 4, {"bob@x"}, text("m"), 5);
  node.gone(now, 1);
  node.stored(now, all_of<Append>(actions)[0].ticket, stored_at(2, "bob@x"));
  EXPECT_TRUE(all_of<Append>(take(node)).empty());
  node.stored(now, of_bob, stored_at(1, "ann@x"));
  EXPECT_EQ(node.stats().unanswered, 0U);
}

TEST_F(NodeTest, OneWithoutADeviceMayBeginAtTheEnd) {
  Hello hello;
  hello.session = 1;
  hello.user = "ann@x";
  hello.start.from = Start::From::kEnd;
  node.connect(now, hello);
  NodeActions actions = take(node);
  EXPECT_TRUE(all_of<Opened>(actions).empty());
  ASSERT_EQ(all_of<StartRead>(actions).size(), 1U);
  node.page(now, all_of<StartRead>(actions)[0].ticket, page_of(1, 1, 7, 8, 0));
  actions = take(node);
  ASSERT_EQ(all_of<Opened>(actions).size(), 1U);
  EXPECT_EQ(all_of<Opened>(actions)[0].sequence, 7U);
  EXPECT_TRUE(all_of<Deliver>(actions).empty());
}

TEST_F(NodeTest, ACursorMovesOnAcksOnlyAndOncePerInterval) {
  open(2, "bob@x", "phone", 4);
  node.publish(now, {{"bob@x", 1, 5}, {"bob@x", 1, 6}, {"bob@x", 1, 7}}, 0, text("m"));
  NodeActions actions = take(node);
  EXPECT_EQ(all_of<Deliver>(actions).size(), 3U);
  EXPECT_TRUE(all_of<MoveCursor>(actions).empty());
  node.ack(now, 2, 1, 5);
  actions = take(node);
  ASSERT_EQ(all_of<MoveCursor>(actions).size(), 1U);
  EXPECT_EQ(all_of<MoveCursor>(actions)[0].sequence, 5U);
  node.ack(now, 2, 1, 6);
  node.moved(now, all_of<MoveCursor>(actions)[0].ticket, {});
  node.ack(now, 2, 1, 7);
  EXPECT_TRUE(all_of<MoveCursor>(take(node)).empty());
  run_until(now + 1000);
  actions = take(node);
  ASSERT_EQ(all_of<MoveCursor>(actions).size(), 1U);
  EXPECT_EQ(all_of<MoveCursor>(actions)[0].sequence, 7U);
}

TEST_F(NodeTest, TheLastAckIsNotLostWhenTheSessionEnds) {
  open(2, "bob@x", "phone", 4);
  node.publish(now, {{"bob@x", 1, 5}, {"bob@x", 1, 6}}, 0, text("m"));
  node.ack(now, 2, 1, 5);
  const Ticket first = all_of<MoveCursor>(take(node)).at(0).ticket;
  node.ack(now, 2, 1, 6);
  node.gone(now, 2);
  EXPECT_TRUE(take(node).empty());  // one at a time
  EXPECT_FALSE(node.idle());
  node.moved(now, first, {Code::kUnavailable, ""});
  EXPECT_TRUE(take(node).empty());
  run_until(now + 2000);
  const NodeActions actions = take(node);
  ASSERT_EQ(all_of<MoveCursor>(actions).size(), 1U);
  EXPECT_EQ(all_of<MoveCursor>(actions)[0].sequence, 6U);
  node.moved(now, all_of<MoveCursor>(actions)[0].ticket, {});
  EXPECT_TRUE(node.idle());
}

TEST_F(NodeTest, TheSameDeviceAgainReplacesTheOlderSession) {
  open(1, "ann@x", "phone");
  open(2, "ann@x", "laptop");
  Hello hello;
  hello.session = 3;
  hello.user = "ann@x";
  hello.device = "phone";
  node.connect(now, hello);
  const NodeActions actions = take(node);
  ASSERT_EQ(all_of<Close>(actions).size(), 1U);
  EXPECT_EQ(all_of<Close>(actions)[0].session, 1U);
  EXPECT_EQ(node.stats().sessions, 2U);
  EXPECT_EQ(node.stats().users, 1U);
}

TEST_F(NodeTest, SendsBeyondTheBoundPauseTheStream) {
  open(1, "ann@x", "phone");
  while (node.stats().unanswered < settings().max_unanswered) {
    node.send(now, 1, 1, {"bob@x"}, text("m"), 100000);
  }
  NodeActions actions = take(node);
  EXPECT_EQ(all_of<PauseSends>(actions).size(), 1U);
  uint64_t sequence = 0;
  size_t resumed = 0;
  while (!all_of<Append>(actions).empty()) {
    node.stored(now, all_of<Append>(actions)[0].ticket, stored_at(++sequence, "bob@x"));
    actions = take(node);
    resumed += all_of<ResumeSends>(actions).size();
  }
  EXPECT_EQ(resumed, 1U);
  EXPECT_EQ(node.stats().unanswered, 0U);
}

TEST_F(NodeTest, AClientThatTakesNothingIsCut) {
  open(2, "bob@x", "phone", 4);
  open(3, "cid@x", "phone", 4);
  for (uint64_t i = 5; i < 30; ++i) {
    node.publish(now, {{"bob@x", 1, i}}, 0, text(std::string(100000, 'x')));
  }
  const size_t delivered = all_of<Deliver>(take(node)).size();
  EXPECT_LT(delivered, 20U);
  run_until(now + 4999);
  EXPECT_TRUE(all_of<Close>(take(node)).empty());
  run_until(now + 1);
  const NodeActions actions = take(node);
  ASSERT_EQ(all_of<Close>(actions).size(), 1U);
  EXPECT_EQ(all_of<Close>(actions)[0].session, 2U);
  EXPECT_EQ(all_of<Close>(actions)[0].outcome.code, Code::kResourceExhausted);
}

TEST_F(NodeTest, ASlowClientThatTakesSomethingIsNotCut) {
  open(2, "bob@x", "phone", 4);
  for (uint64_t i = 5; i < 30; ++i) {
    node.publish(now, {{"bob@x", 1, i}}, 0, text(std::string(100000, 'x')));
  }
  const auto delivered = all_of<Deliver>(take(node));
  for (const Deliver& each : delivered) {
    run_until(now + 4000);
    node.written(now, 2, each.size);
  }
  EXPECT_TRUE(all_of<Close>(take(node)).empty());
  EXPECT_EQ(node.stats().sessions, 1U);
}

TEST_F(NodeTest, ReadsOfTheStoreAreBoundedAndInOrder) {
  const size_t most = settings().max_drains;
  for (SessionId id = 1; id <= most + 10; ++id) {
    Hello hello;
    hello.session = id;
    hello.user = "u" + std::to_string(id) + "@x";
    node.connect(now, hello);
  }
  NodeActions actions = take(node);
  ASSERT_EQ(all_of<StartRead>(actions).size(), most);
  EXPECT_EQ(node.stats().reads_waiting, 10U);
  node.page(now, all_of<StartRead>(actions)[0].ticket, page_of(0, 1, 0, 1, 0));
  actions = take(node);
  ASSERT_EQ(all_of<StartRead>(actions).size(), 1U);
  EXPECT_EQ(all_of<StartRead>(actions)[0].mailbox, "u" + std::to_string(most + 1) + "@x");
}

class FullNodeTest : public NodeTest {
 protected:
  FullNodeTest() : NodeTest(full()) {}
  static NodeSettings full() {
    NodeSettings made = settings();
    made.max_queued_total = 1000;
    made.few = 2;
    return made;
  }
};

TEST_F(FullNodeTest, WhenMuchWaitsForTransportsOnlyWhoHasNothingWaitingReadsAndLittle) {
  open(2, "bob@x", "phone", 4);
  open(3, "cid@x", "phone", 4);
  node.publish(now, {{"bob@x", 1, 5}}, 0, text(std::string(2000, 'x')));
  const auto delivered = all_of<Deliver>(take(node));
  ASSERT_EQ(delivered.size(), 1U);
  EXPECT_EQ(node.stats().queued, delivered[0].size);
  node.publish(now, {{"bob@x", 1, 7}}, 0, text("seven"));
  EXPECT_TRUE(all_of<StartRead>(take(node)).empty());
  node.publish(now, {{"cid@x", 1, 7}}, 0, text("seven"));
  auto reads = all_of<StartRead>(take(node));
  ASSERT_EQ(reads.size(), 1U);
  EXPECT_EQ(reads[0].mailbox, "cid@x");
  EXPECT_EQ(reads[0].limit, 2U);
  node.written(now, 2, delivered[0].size);
  reads = all_of<StartRead>(take(node));
  ASSERT_EQ(reads.size(), 1U);
  EXPECT_EQ(reads[0].mailbox, "bob@x");
  EXPECT_GT(reads[0].limit, 2U);
  // What was on its way to who goes is nobody's.
  node.publish(now, {{"cid@x", 1, 6}}, 0, text("six"));
  node.gone(now, 3);
  EXPECT_EQ(node.stats().queued, 0U);
}

TEST_F(NodeTest, AReadThatFailsIsTriedAgainLater) {
  Hello hello;
  hello.session = 1;
  hello.user = "ann@x";
  node.connect(now, hello);
  Page failed;
  failed.outcome = {Code::kUnavailable, "away"};
  node.page(now, all_of<StartRead>(take(node)).at(0).ticket, failed);
  EXPECT_TRUE(all_of<StartRead>(take(node)).empty());
  run_until(now + 1001);
  EXPECT_EQ(all_of<StartRead>(take(node)).size(), 1U);
}

TEST_F(NodeTest, AMailboxThatIsDamagedEndsTheSession) {
  Hello hello;
  hello.session = 1;
  hello.user = "ann@x";
  node.connect(now, hello);
  Page failed;
  failed.outcome = {Code::kDataLoss, "damaged"};
  node.page(now, all_of<StartRead>(take(node)).at(0).ticket, failed);
  EXPECT_EQ(all_of<Close>(take(node)).at(0).outcome.code, Code::kDataLoss);
}

TEST_F(NodeTest, EachSessionLooksAgainNowAndThen) {
  open(1, "ann@x", "phone", 4);
  run_until(now + settings().resync_interval);
  const NodeActions actions = take(node);
  ASSERT_EQ(all_of<StartRead>(actions).size(), 1U);
  // A push was lost; the store has it.
  node.page(now, all_of<StartRead>(actions)[0].ticket, page_of(1, 1, 5, 5, 5));
  EXPECT_EQ(all_of<Deliver>(take(node)).size(), 1U);
}

TEST_F(NodeTest, ADrainedNodeEndsWithoutSessions) {
  for (SessionId id = 1; id <= 20; ++id) open(id, "u" + std::to_string(id) + "@x", "phone");
  node.state(now, NodeState::kDraining, now + 10000);
  run_until(now + 5000);
  NodeActions actions = take(node);
  EXPECT_EQ(all_of<Moving>(actions).size(), 20U);
  EXPECT_TRUE(all_of<Close>(actions).empty());
  Hello hello;
  hello.session = 21;
  hello.user = "new@x";
  node.connect(now, hello);
  EXPECT_EQ(all_of<Close>(take(node)).size(), 1U);
  node.gone(now, 7);  // it moved
  run_until(now + 5000);
  EXPECT_EQ(all_of<Close>(take(node)).size(), 19U);
  EXPECT_TRUE(node.idle());
  node.state(now, NodeState::kActive, 0);
  open(22, "new@x", "phone");
  EXPECT_EQ(node.stats().sessions, 1U);
}

TEST_F(NodeTest, UncordonedInTimeNobodyIsClosed) {
  open(1, "ann@x", "phone");
  node.state(now, NodeState::kDraining, now + 10000);
  node.state(now, NodeState::kActive, 0);
  run_until(now + 20000);
  EXPECT_TRUE(all_of<Close>(take(node)).empty());
}

TEST_F(NodeTest, DevicesBeyondTheBoundAreForgottenOldestFirst) {
  Hello hello;
  hello.session = 1;
  hello.user = "ann@x";
  hello.device = "new";
  node.connect(now, hello);
  CursorPage cursors;
  cursors.epoch = 1;
  for (uint64_t i = 0; i < settings().max_devices + 1; ++i) {
    cursors.cursors.push_back({"d" + std::to_string(i), 1, static_cast<WallTime>(100 - i)});
  }
  node.cursors(now, all_of<ListCursors>(take(node)).at(0).ticket, cursors);
  const auto dropped = all_of<DropCursor>(take(node));
  ASSERT_EQ(dropped.size(), 2U);
  EXPECT_EQ(dropped[0].device, "d16");
  EXPECT_EQ(dropped[1].device, "d15");
}

TEST_F(NodeTest, AUsersSessionsCloseTogether) {
  open(1, "ann@x", "phone");
  open(2, "ann@x", "laptop");
  open(3, "bob@x", "phone");
  node.close_user(now, "ann@x", Code::kPermissionDenied, "disabled");
  EXPECT_EQ(all_of<Close>(take(node)).size(), 2U);
  EXPECT_EQ(node.stats().sessions, 1U);
}

}  // namespace
}  // namespace imctl::router
