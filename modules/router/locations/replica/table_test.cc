#include "replica/table.h"

#include <gtest/gtest.h>

#include <set>

namespace imctl::locations {
namespace {

Location place(const std::string& user, const std::string& node, uint64_t boot, uint64_t session) {
  return {user, "phone", {node, boot, session}, 5};
}

class TableTest : public ::testing::Test {
 protected:
  Table::Origin* make(const std::string& service) {
    Table::Origin* made = table_.make(service, {1, 1});
    made->deadline = 1000;
    return made;
  }
  std::multiset<uint64_t> sessions(const std::string& user, const std::string& except = "",
                                   Time now = 0) {
    std::multiset<uint64_t> found;
    table_.find(now, user, except, [&](const Table::View& view) { found.insert(view.session); });
    return found;
  }
  Table table_;
};

using Sessions = std::multiset<uint64_t>;

TEST_F(TableTest, FindsWhatOthersReportedWhileItsLeaseHolds) {
  Table::Origin* a = make("a");
  Table::Origin* b = make("b");
  b->deadline = 500;
  EXPECT_TRUE(table_.put(a, place("ann", "n1", 1, 1)));
  EXPECT_FALSE(table_.put(a, place("ann", "n1", 1, 1)));
  EXPECT_TRUE(table_.put(b, place("ann", "n2", 1, 2)));
  EXPECT_EQ(sessions("ann"), (Sessions{1, 2}));
  EXPECT_EQ(sessions("ann", "a"), Sessions{2});
  EXPECT_EQ(sessions("ann", "", 500), Sessions{1});
  EXPECT_EQ(sessions("bob"), Sessions{});
}

TEST_F(TableTest, ANewerBootOfANodeHidesTheOlderWhoeverReportedIt) {
  Table::Origin* a = make("a");
  Table::Origin* b = make("b");
  table_.put(a, place("ann", "n1", 1, 1));
  table_.put(b, place("bob", "n1", 2, 1));
  EXPECT_EQ(sessions("ann"), Sessions{});
  EXPECT_EQ(sessions("bob"), Sessions{1});
  // The newer boot is still known when it has no locations any more.
  table_.drop(b);
  EXPECT_EQ(sessions("ann"), Sessions{});
  table_.forget_nodes();
  table_.forget_nodes();
  EXPECT_EQ(sessions("ann"), Sessions{})
      << "the node has a location, so its boots are not forgotten";
}

TEST_F(TableTest, ErasesTheWholeKeyOnly) {
  Table::Origin* a = make("a");
  table_.put(a, place("ann", "n1", 2, 1));
  EXPECT_FALSE(table_.erase(a, {"n1", 1, 1}));
  EXPECT_FALSE(table_.erase(a, {"n2", 2, 1}));
  EXPECT_FALSE(table_.erase(a, {"n1", 2, 2}));
  EXPECT_EQ(sessions("ann"), Sessions{1});
  EXPECT_TRUE(table_.erase(a, {"n1", 2, 1}));
  EXPECT_EQ(sessions("ann"), Sessions{});
  EXPECT_EQ(table_.users(), 0);
}

TEST_F(TableTest, ErasesANodeUpToABoot) {
  Table::Origin* a = make("a");
  for (uint64_t i = 0; i < 100; ++i) table_.put(a, place("u" + std::to_string(i), "n1", i % 3, i));
  table_.put(a, place("other", "n2", 1, 1));
  EXPECT_EQ(table_.erase_node(a, {"n1", 1}), 67);
  EXPECT_EQ(table_.size(), 34);
  EXPECT_EQ(sessions("other"), Sessions{1});
}

TEST_F(TableTest, AValueThatChangesMovesToItsNewUser) {
  Table::Origin* a = make("a");
  table_.put(a, place("ann", "n1", 1, 1));
  EXPECT_TRUE(table_.put(a, place("bob", "n1", 1, 1)));
  EXPECT_EQ(sessions("ann"), Sessions{});
  EXPECT_EQ(sessions("bob"), Sessions{1});
  EXPECT_EQ(table_.size(), 1);
}

TEST_F(TableTest, HashesTellContentAndNothingElse) {
  Table::Origin* a = make("a");
  Table::Origin* b = make("b");
  for (uint64_t i = 0; i < 500; ++i) table_.put(a, place("u", "n1", 1, i));
  for (uint64_t i = 500; i-- > 0;) table_.put(b, place("u", "n1", 1, i));
  table_.put(b, place("x", "n1", 1, 900));
  EXPECT_NE(a->hash, b->hash);
  table_.erase(b, {"n1", 1, 900});
  EXPECT_EQ(a->hash, b->hash);
  for (size_t i = 0; i < kBuckets; ++i) EXPECT_EQ(a->buckets[i].hash, b->buckets[i].hash);
  Location changed = place("u", "n1", 1, 7);
  changed.device = "desk";
  table_.put(b, changed);
  EXPECT_NE(a->hash, b->hash);
}

TEST_F(TableTest, ReplacesABucket) {
  Table::Origin* a = make("a");
  Table::Origin* b = make("b");
  for (uint64_t i = 0; i < 20000; ++i) table_.put(a, place("u" + std::to_string(i), "n1", 1, i));
  for (uint64_t i = 10000; i < 30000; ++i)
    table_.put(b, place("u" + std::to_string(i), "n1", 1, i));
  for (size_t i = 0; i < kBuckets; ++i) {
    std::vector<Location> content;
    table_.read_bucket(a, i, &content);
    content.push_back(place("stray", "n1", 1, 7'000'000));  // of one bucket only, if of any
    if (Table::bucket_of({"n1", 1, 7'000'000}) == i) content.pop_back();
    table_.replace(b, i, content);
  }
  EXPECT_EQ(a->hash, b->hash);
  EXPECT_EQ(a->count, b->count);
  EXPECT_EQ(table_.users(), 20000);
}

TEST_F(TableTest, GivesPagesInOrderOfUsers) {
  Table::Origin* a = make("a");
  Table::Origin* b = make("b");
  for (uint64_t i = 0; i < 1000; ++i) {
    table_.put(i % 2 != 0 ? a : b, place("u" + std::to_string(1000 + i % 500), "n1", 1, i));
  }
  table_.put(a, place("v", "n2", 1, 1));
  table_.put(a, place("a", "n2", 1, 2));
  std::vector<std::string> users;
  std::string after;
  int pages = 0;
  do {
    after = table_.page(0, {"u", "", ""}, after, 100,
                        [&](const Table::View& view) { users.push_back(view.user); });
    ++pages;
  } while (!after.empty());
  EXPECT_EQ(users.size(), 1000);
  EXPECT_TRUE(std::is_sorted(users.begin(), users.end()));
  EXPECT_GE(pages, 10);
  size_t count = 0;
  table_.page(0, {"", "n2", ""}, "", 100, [&](const Table::View& /*view*/) { ++count; });
  EXPECT_EQ(count, 2);
  table_.page(0, {"v", "", "b"}, "", 100, [&](const Table::View& /*view*/) { ++count; });
  EXPECT_EQ(count, 2);
  // A token that is smaller than the prefix.
  table_.page(0, {"v", "", ""}, "a", 100, [&](const Table::View& /*view*/) { ++count; });
  EXPECT_EQ(count, 3);
}

}  // namespace
}  // namespace imctl::locations
