// Single messages in an order that a broker should not give them in.
#include <gtest/gtest.h>

#include "replica/replica.h"
#include "replica/test_net.h"

namespace imctl::locations {
namespace {

using Found = std::set<uint64_t>;

class OrderTest : public ::testing::Test {
 protected:
  OrderTest() : replica_(Replica::Options()) {
    replica_.set_connected(0, true, &out_);
    for (now_ = 0; now_ < 5000; now_ += 100) {
      replica_.tick(now_, &out_);
      for (const Message& message : std::exchange(out_, {})) {
        replica_.receive(now_, message, &out_);
      }
    }
    hear(Beat{1, {digest(0, {})}});
  }

  Digest digest(uint64_t number, const std::vector<Location>& content, Time lease = 10000) const {
    Table table;
    Table::Origin* origin = table.make("s", epoch_);
    for (const Location& location : content) table.put(origin, location);
    return {"s", epoch_, number, origin->count, origin->hash, lease, true};
  }
  Delta delta(uint64_t number, std::vector<Location> add, std::vector<Key> remove = {},
              std::vector<NodeBoot> gone = {}) const {
    return {"s", epoch_, number, {std::move(gone), std::move(remove), std::move(add)}};
  }
  Part part(uint64_t number, const std::vector<Location>& content) const {
    Part made{"s", epoch_, number, {}};
    for (size_t i = 0; i < kBuckets; ++i) {
      Bucket bucket{static_cast<uint16_t>(i), {}};
      for (const Location& location : content) {
        if (Table::bucket_of(location.key) == i) bucket.locations.push_back(location);
      }
      made.buckets.push_back(std::move(bucket));
    }
    return made;
  }
  template <class Body>
  void hear(Body body) {
    replica_.receive(now_, {99, std::move(body)}, &out_);
  }
  Found sessions() const {
    Found found;
    replica_.table().find(now_, "ann", "",
                          [&](const Table::View& view) { found.insert(view.session); });
    return found;
  }
  // That changes up to this number are missed.
  void miss(uint64_t number) {
    hear(delta(number, {}));
    ASSERT_FALSE(replica_.sure(now_, ""));
  }

  const Location one_ = place("ann", "n", 1, 1);
  const Location two_ = place("ann", "n", 1, 2);
  Epoch epoch_{1, 1};
  Time now_ = 0;
  Replica replica_;
  Replica::Output out_;
};

TEST_F(OrderTest, ALatePartBringsBackNothingThatWasRemovedSince) {
  miss(3);
  hear(delta(4, {one_}));
  hear(delta(5, {}, {one_.key}));
  hear(part(4, {one_}));
  EXPECT_EQ(sessions(), Found{});
}

TEST_F(OrderTest, ALatePartBringsBackNothingOfANodeThatIsGone) {
  miss(3);
  hear(delta(4, {}, {}, {{"n", 1}}));
  hear(part(3, {one_}));
  EXPECT_EQ(sessions(), Found{});
}

TEST_F(OrderTest, APartFromBeforeWhatWasMissedIsNotTaken) {
  miss(3);
  hear(part(1, {one_}));
  EXPECT_FALSE(replica_.sure(now_, ""));
  hear(part(3, {two_}));
  hear(Beat{2, {digest(3, {two_})}});
  EXPECT_EQ(sessions(), Found{2});
  EXPECT_TRUE(replica_.sure(now_, ""));
}

TEST_F(OrderTest, ChangesThatCameInAPartAreNotMadeAgainWhenTheyCome) {
  miss(3);
  hear(part(6, {two_}));  // 4: adds one, 5: the node is gone, 6: adds two
  hear(Beat{2, {digest(6, {two_})}});
  hear(delta(4, {one_}));
  EXPECT_EQ(sessions(), Found{2});
  hear(delta(5, {}, {one_.key}, {}));
  hear(delta(6, {two_}));
  EXPECT_EQ(sessions(), Found{2});
  EXPECT_TRUE(replica_.sure(now_, ""));
}

TEST_F(OrderTest, ANodeThatIsGoneAndBackInAPartIsVerifiedAgain) {
  miss(3);
  hear(part(6, {two_}));
  hear(Beat{2, {digest(6, {two_})}});
  hear(delta(4, {}));
  hear(delta(5, {}, {}, {{"n", 1}}));
  EXPECT_FALSE(replica_.sure(now_, ""));
  hear(delta(6, {two_}));
  hear(part(6, {two_}));
  EXPECT_EQ(sessions(), Found{2});
}

TEST_F(OrderTest, AnOlderLifeOfAServiceIsNotHeard) {
  hear(delta(1, {one_}));
  const Epoch old = epoch_;
  epoch_ = {2, 1};
  hear(Beat{1, {digest(0, {})}});
  EXPECT_EQ(sessions(), Found{});
  epoch_ = old;
  hear(delta(2, {two_}));
  hear(Beat{7, {digest(2, {one_, two_})}});
  EXPECT_EQ(sessions(), Found{});
}

TEST_F(OrderTest, ABeatThatCameBeforeRenewsNothing) {
  hear(delta(1, {one_}));
  const Beat beat{2, {digest(1, {one_})}};
  hear(beat);
  ASSERT_EQ(sessions(), Found{1});
  hear(Beat{3, {digest(1, {one_}, 0)}});
  ASSERT_EQ(sessions(), Found{});
  hear(beat);
  EXPECT_EQ(sessions(), Found{});
}

TEST_F(OrderTest, ADigestWithAnotherHashIsBelieved) {
  hear(delta(1, {one_}));
  hear(Beat{2, {digest(1, {one_})}});
  ASSERT_TRUE(replica_.sure(now_, ""));
  hear(Beat{3, {digest(1, {two_})}});
  EXPECT_FALSE(replica_.sure(now_, ""));
  hear(part(1, {two_}));
  EXPECT_EQ(sessions(), Found{2});
}

}  // namespace
}  // namespace imctl::locations
