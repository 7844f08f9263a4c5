#include "inbox.h"

#include <gtest/gtest.h>

#include "test_kit.h"

namespace imctl::router {
namespace {

class InboxTest : public testing::Test {
 protected:
  // A session that stands after `sequence` of epoch 1, confirmed by a page.
  void stand(Inbox& inbox, uint64_t sequence) {
    Sink here = sink();
    inbox.begin_after(1, sequence);
    inbox.reading();
    ASSERT_TRUE(inbox.page(here, page_of(1, 1, sequence, 1, 0)));
    out_.clear();
  }
  Sink sink() { return {out_, stats_, 1000, 10000}; }
  void push(Inbox& inbox, uint64_t epoch, uint64_t sequence, const Payload& payload) {
    Sink here = sink();
    inbox.push(here, epoch, sequence, 0, payload);
  }
  bool page(Inbox& inbox, const Page& page) {
    Sink here = sink();
    return inbox.page(here, page);
  }
  bool ack(Inbox& inbox, uint64_t sequence) {
    Sink here = sink();
    return inbox.ack(here, 1, sequence);
  }
  std::vector<uint64_t> delivered() {
    std::vector<uint64_t> numbers;
    for (const Deliver& each : all_of<Deliver>(out_)) numbers.push_back(each.sequence);
    return numbers;
  }
  using Numbers = std::vector<uint64_t>;

  NodeActions out_;
  NodeStats stats_;
};

TEST_F(InboxTest, ThePushThatIsNextGoesOutAndOneThatWasDoesNot) {
  Inbox inbox(1, 10000, 10000);
  stand(inbox, 4);
  push(inbox, 1, 5, text("a"));
  push(inbox, 1, 5, text("a"));
  push(inbox, 1, 3, text("b"));
  EXPECT_EQ(delivered(), Numbers({5}));
  EXPECT_FALSE(inbox.wants_read());
}

TEST_F(InboxTest, AGapIsReadAndWhatCameMeanwhileFollows) {
  Inbox inbox(1, 10000, 10000);
  stand(inbox, 4);
  push(inbox, 1, 7, text("m7"));
  EXPECT_EQ(delivered(), Numbers());
  ASSERT_TRUE(inbox.wants_read());
  EXPECT_EQ(inbox.reading(), 4U);
  push(inbox, 1, 8, text("m8"));
  EXPECT_TRUE(page(inbox, page_of(1, 1, 6, 5, 6)));
  EXPECT_EQ(delivered(), Numbers({5, 6, 7, 8}));
  EXPECT_FALSE(inbox.wants_read());
  EXPECT_EQ(stats_.ahead, 0U);
}

TEST_F(InboxTest, WhatIsPutAsideIsBounded) {
  Inbox inbox(1, 1 << 20, 1 << 20);
  stand(inbox, 0);
  for (uint64_t i = 2; i < 100; ++i) push(inbox, 1, i, text(std::string(100, 'x')));
  EXPECT_LE(stats_.ahead, 1000U);
  EXPECT_GT(stats_.ahead, 500U);
  push(inbox, 1, 1, text("a"));
  EXPECT_EQ(delivered(), Numbers({1, 2, 3, 4, 5, 6, 7}));
  EXPECT_TRUE(inbox.wants_read());  // the rest is in the store
}

TEST_F(InboxTest, AHintIsRead) {
  Inbox inbox(1, 10000, 10000);
  stand(inbox, 4);
  push(inbox, 1, 5, nullptr);
  EXPECT_EQ(delivered(), Numbers());
  EXPECT_TRUE(inbox.wants_read());
}

TEST_F(InboxTest, TheWindowOfTheClientIsBoundedAndAcksMakeRoom) {
  Inbox inbox(1, 400, 100000);
  stand(inbox, 0);
  for (uint64_t i = 1; i <= 5; ++i) push(inbox, 1, i, text(std::string(100, 'x')));
  EXPECT_EQ(delivered(), Numbers({1, 2}));
  EXPECT_LE(inbox.unacknowledged(), 400U);
  EXPECT_TRUE(inbox.blocked());
  EXPECT_FALSE(inbox.wants_read());
  EXPECT_TRUE(ack(inbox, 1));
  EXPECT_TRUE(inbox.wants_read());
  EXPECT_FALSE(inbox.blocked());
}

TEST_F(InboxTest, TheQueueOfTheTransportIsBounded) {
  Inbox inbox(1, 100000, 400);
  stand(inbox, 0);
  for (uint64_t i = 1; i <= 5; ++i) push(inbox, 1, i, text(std::string(100, 'x')));
  EXPECT_EQ(delivered(), Numbers({1, 2}));
  EXPECT_TRUE(inbox.blocked());
  Sink here = sink();
  inbox.written(here, 164);
  EXPECT_TRUE(inbox.wants_read());
}

TEST_F(InboxTest, AMessageLargerThanTheWindowPassesAlone) {
  Inbox inbox(1, 100, 100);
  stand(inbox, 0);
  push(inbox, 1, 1, text(std::string(5000, 'x')));
  push(inbox, 1, 2, text("b"));
  EXPECT_EQ(delivered(), Numbers({1}));
}

TEST_F(InboxTest, AnAckOfWhatWasNotDeliveredIsRefused) {
  Inbox inbox(1, 10000, 10000);
  stand(inbox, 4);
  push(inbox, 1, 5, text("a"));
  EXPECT_FALSE(ack(inbox, 6));
  EXPECT_TRUE(ack(inbox, 5));
  EXPECT_TRUE(ack(inbox, 2));
  EXPECT_EQ(inbox.acknowledged(), 5U);
  EXPECT_EQ(inbox.unacknowledged(), 0U);
}

TEST_F(InboxTest, ANewEpochBeginsAnewOnlyWithThePageThatShowsIt) {
  Inbox inbox(1, 10000, 10000);
  stand(inbox, 4);
  push(inbox, 2, 1, text("new"));
  EXPECT_TRUE(out_.empty());
  ASSERT_TRUE(inbox.wants_read());
  inbox.reading();
  EXPECT_TRUE(page(inbox, page_of(2, 1, 2, 1, 0)));
  ASSERT_EQ(all_of<Reset>(out_).size(), 1U);
  EXPECT_EQ(all_of<Reset>(out_)[0].epoch, 2U);
  ASSERT_TRUE(inbox.wants_read());
  EXPECT_EQ(inbox.reading(), 0U);
  EXPECT_TRUE(page(inbox, page_of(2, 1, 2, 1, 2)));
  EXPECT_EQ(delivered(), Numbers({1, 2}));
  push(inbox, 1, 5, text("of the old life"));
  EXPECT_EQ(delivered(), Numbers({1, 2}));
}

TEST_F(InboxTest, WhatExpiredIsDeclared) {
  Inbox inbox(1, 10000, 10000);
  stand(inbox, 4);
  push(inbox, 1, 12, text("m12"));
  inbox.reading();
  EXPECT_TRUE(page(inbox, page_of(1, 10, 12, 10, 12)));
  ASSERT_EQ(all_of<Reset>(out_).size(), 1U);
  EXPECT_EQ(all_of<Reset>(out_)[0].first, 10U);
  EXPECT_EQ(delivered(), Numbers({10, 11, 12}));
}

TEST_F(InboxTest, AnEmptyMailboxTakesTheEpochOfItsFirstMessage) {
  Inbox inbox(1, 10000, 10000);
  inbox.begin_after(0, 0);
  inbox.reading();
  EXPECT_TRUE(page(inbox, page_of(0, 0, 0, 1, 0)));
  // A second look is on its way, older than the first message.
  inbox.look();
  inbox.reading();
  push(inbox, 7, 1, text("a"));
  push(inbox, 7, 3, text("c"));
  EXPECT_TRUE(page(inbox, page_of(0, 0, 0, 1, 0)));
  EXPECT_EQ(delivered(), Numbers({1}));
  EXPECT_TRUE(inbox.wants_read());
  EXPECT_TRUE(all_of<Reset>(out_).empty());
}

TEST_F(InboxTest, AMailboxThatIsGoneIsNotReadForEver) {
  Inbox inbox(1, 10000, 10000);
  stand(inbox, 4);
  push(inbox, 1, 6, text("b"));
  inbox.reading();
  EXPECT_TRUE(page(inbox, page_of(0, 0, 0, 1, 0)));
  EXPECT_FALSE(inbox.wants_read());
}

TEST_F(InboxTest, AClientThatClaimsWhatNeverWasBeginsAtTheEnd) {
  Inbox inbox(1, 10000, 10000);
  inbox.begin_after(1, 100);
  EXPECT_EQ(inbox.reading(), 100U);
  EXPECT_TRUE(page(inbox, page_of(1, 1, 4, 1, 0)));
  ASSERT_EQ(all_of<Reset>(out_).size(), 1U);
  push(inbox, 1, 5, text("a"));
  EXPECT_EQ(delivered(), Numbers({5}));
}

TEST_F(InboxTest, FromTheEndOnIsWhatThePageSays) {
  Inbox inbox(1, 10000, 10000);
  inbox.begin_at_end();
  push(inbox, 3, 9, text("before"));
  EXPECT_GT(inbox.reading(), 1000000U);
  EXPECT_TRUE(page(inbox, page_of(3, 1, 9, 1, 0)));
  ASSERT_EQ(all_of<Opened>(out_).size(), 1U);
  EXPECT_EQ(all_of<Opened>(out_)[0].sequence, 9U);
  push(inbox, 3, 10, text("a"));
  EXPECT_EQ(delivered(), Numbers({10}));
}

TEST_F(InboxTest, APageWithAHoleIsNotBelieved) {
  Inbox inbox(1, 10000, 10000);
  stand(inbox, 4);
  push(inbox, 1, 7, nullptr);
  inbox.reading();
  EXPECT_FALSE(page(inbox, page_of(1, 1, 7, 6, 7)));
  EXPECT_EQ(delivered(), Numbers());
}

}  // namespace
}  // namespace imctl::router
