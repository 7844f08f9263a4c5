// The PostgreSQL back end against a real server: messages, mailboxes, records, dumps.
#include <stdexcept>

#include "postgresql_test.h"

namespace imctl::storage {
namespace {

TEST_F(PostgresTest, PutsAndGets) {
  auto one = host();
  EXPECT_EQ(put(*one, messages({"a", "b", "c"}, "x")), 3U);
  EXPECT_EQ(get(*one, {"c", "nothing", "a", "c"}), (Strings{"c=x", "a=x", "c=x"}));
  // Again, and with others between.
  EXPECT_EQ(put(*one, messages({"a", "d", "b"}, "x")), 3U);
  EXPECT_EQ(get(*one, {"d"}), (Strings{"d=x"}));
  // Up to the first that has other content.
  EXPECT_EQ(put(*one, {{"e", event("e", "x")}, {"b", event("b", "y")}, {"f", event("f", "x")}}),
            1U);
  EXPECT_EQ(get(*one, {"b", "e", "f"}), (Strings{"b=x", "e=x"}));
  // What comes after a conflict may be stored by another write of the same commit.
  PutMessages first = put_of(messages({"g"}, "x"));
  std::vector<Given> conflict = {{"g", event("g", "y")}, {"h", event("h", "x")}};
  PutMessages second = put_of(conflict);
  auto more = messages({"h", "g"}, "x");
  PutMessages third = put_of(more);
  auto g = messages({"g"}, "x");
  first = put_of(g);
  COMMIT(one, &first, &second, &third);
  EXPECT_EQ(first.stored, 1U);
  EXPECT_EQ(second.stored, 0U);
  EXPECT_EQ(third.stored, 2U);
  EXPECT_EQ(get(*one, {"g", "h"}), (Strings{"g=x", "h=x"}));
  // The caller has enough.
  int given = 0;
  std::vector<std::string_view> ids = {"a", "b", "c"};
  EXPECT_TRUE(one->engine->get_messages(ids, [&](std::string_view) { return ++given < 2; }).ok());
  EXPECT_EQ(given, 2);
}

TEST_F(PostgresTest, TakesAnyBytesAndSizes) {
  auto one = host();
  const std::string odd("nul\0, \xc3\xa4, '\"\\", 13);
  const std::string large(3U << 20U, 'x');
  EXPECT_EQ(put(*one, {{odd, event(odd, "x")}, {"l", event("l", large)}, {"m", event("m", large)}}),
            3U);
  EXPECT_EQ(get(*one, {odd, "m", "l"}), (Strings{odd + "=x", "m=" + large, "l=" + large}));
  Strings ids;
  for (int i = 0; i < 5000; ++i) ids.push_back("many" + std::to_string(i));
  EXPECT_EQ(put(*one, messages(ids, "x")), 5000U);
  EXPECT_EQ(get(*one, ids).size(), 5000U);
}

TEST_F(PostgresTest, DeletesMessages) {
  auto one = host();
  put(*one, messages({"a", "b", "c"}));
  DeleteMessages first{{"a", "a", "nothing"}};
  DeleteMessages second{{"a", "b"}};
  COMMIT(one, &first, &second);
  EXPECT_EQ(first.deleted, 1U);
  EXPECT_EQ(second.deleted, 1U);
  EXPECT_EQ(get(*one, {"a", "b", "c"}), (Strings{"c="}));
  EXPECT_EQ(put(*one, messages({"a"}, "new")), 1U);
  EXPECT_EQ(get(*one, {"a"}), (Strings{"a=new"}));
}

TEST_F(PostgresTest, WhatIsExpiredIsAbsentAndGivesItsIdFree) {
  auto one = host(keep(std::chrono::hours(1)));
  put(*one, messages({"a", "b"}, "old"));
  auto brief = host(keep(std::chrono::milliseconds(1)));
  std::this_thread::sleep_for(std::chrono::milliseconds(5));
  EXPECT_EQ(get(*brief, {"a", "b"}), Strings{});
  DeleteMessages gone{{"b"}};
  COMMIT(brief, &gone);
  EXPECT_EQ(gone.deleted, 0U);
  EXPECT_EQ(put(*brief, messages({"a"}, "new")), 1U);
  EXPECT_EQ(get(*one, {"a", "b"}), (Strings{"a=new", "b=old"}));
}

uint64_t clean(TestHost& host, int64_t before, bool all = true) {
  uint64_t removed = 0;
  for (bool more = true; more;) {
    CleanMessages work;
    work.before = before;
    work.all = all;
    Status status = commit(*host.engine, std::vector{&work});
    EXPECT_TRUE(status.ok()) << status.message();
    if (!status.ok()) break;
    removed += work.removed;
    more = work.more;
  }
  return removed;
}

TEST_F(PostgresTest, CleansPartsOfABucket) {
  auto one = host();
  Strings ids;
  for (int i = 0; i < 5000; ++i) ids.push_back("old" + std::to_string(i));
  put(*one, messages(ids));
  const int64_t before = unix_ms();
  std::this_thread::sleep_for(std::chrono::milliseconds(3));
  put(*one, messages({"new"}));
  EXPECT_EQ(clean(*one, before, false), 0U);
  EXPECT_EQ(clean(*one, before), 5000U);
  EXPECT_EQ(clean(*one, before), 0U);
  EXPECT_EQ(get(*one, {"old1", "new"}), (Strings{"new="}));
}

TEST_F(PostgresTest, DropsWholeBuckets) {
  auto one = host();
  Strings ids;
  for (int i = 0; i < 5000; ++i) ids.push_back(std::to_string(i));
  put(*one, messages(ids));
  const int64_t later = unix_ms() + int64_t{2} * 24 * 3600 * 1000;
  {
    auto dump = one->engine->dump();
    ASSERT_TRUE(dump.ok()) << dump.status().message();
    // Kept for the dump.
    EXPECT_EQ(clean(*one, later, false), 5000U);
    std::vector<v1::SnapshotItem> items;
    size_t count = 0;
    do {
      ASSERT_TRUE((*dump)->next(1U << 16U, &items).ok());
      count += items.size();
    } while (!items.empty());
    EXPECT_EQ(count, 5000U);
  }
  // The server ends the dump's process in its own time, and may look after the table itself
  // meanwhile.
  bool dropped = false;
  for (auto until = std::chrono::steady_clock::now() + std::chrono::seconds(60);
       !dropped && std::chrono::steady_clock::now() < until;) {
    EXPECT_EQ(clean(*one, later, false), 0U);
    try {
      server().sql("DO $$ BEGIN IF (SELECT count(*) FROM pg_tables WHERE schemaname = '" + schema_ +
                   "' AND tablename LIKE 'bodies%') > 0 THEN RAISE 'left'; END IF; END $$");
      dropped = true;
    } catch (const std::runtime_error&) {
    }
  }
  EXPECT_TRUE(dropped);
  EXPECT_EQ(put(*one, messages({"1"}, "again")), 1U);
  EXPECT_EQ(get(*one, {"1"}), (Strings{"1=again"}));
}

TEST_F(PostgresTest, AppendsOnceAndReads) {
  auto one = host();
  const std::string data1 = letter("1");
  const std::string data2 = letter("2");
  const std::string other = letter("1", "other");
  AppendMessage first = append_of("1", data1, {"bob", "ann"});
  AppendMessage second = append_of("2", data2, {"ann"});
  COMMIT(one, &first, &second);
  EXPECT_EQ(places(first), (Strings{"bob:1", "ann:1"}));
  EXPECT_EQ(places(second), (Strings{"ann:2"}));
  EXPECT_GT(first.places[0].epoch, 0U);
  // Again: the first one's places, whoever it is for; new ones beside it.
  const std::string data3 = letter("3");
  AppendMessage again = append_of("1", data1, {"eve"});
  AppendMessage third = append_of("3", data3, {"ann"});
  AppendMessage twice = append_of("3", data3, {"bob"});
  AppendMessage conflict = append_of("1", other, {"ann"});
  COMMIT(one, &again, &third, &twice, &conflict);
  EXPECT_TRUE(again.duplicate);
  EXPECT_FALSE(again.conflict);
  EXPECT_EQ(places(again), places(first));
  EXPECT_FALSE(third.duplicate);
  EXPECT_EQ(places(third), (Strings{"ann:3"}));
  EXPECT_TRUE(twice.duplicate);
  EXPECT_EQ(places(twice), (Strings{"ann:3"}));
  EXPECT_TRUE(conflict.conflict);

  EXPECT_EQ(read(*one, "ann"), (Strings{"1:1", "2:2", "3:3"}));
  EXPECT_EQ(read(*one, "ann", 1, 1), (Strings{"2:2"}));
  EXPECT_EQ(read(*one, "ann", 0, 10, 1), (Strings{"1:1"}));
  EXPECT_EQ(read(*one, "bob"), (Strings{"1:1"}));
  EXPECT_EQ(read(*one, "eve"), Strings{});
  auto none = one->engine->read_mailbox("eve", 0, 10, 1000);
  ASSERT_TRUE(none.ok());
  EXPECT_EQ(none->state.epoch, 0U);
  EXPECT_EQ(none->state.first, 1U);
  auto list = one->engine->list_mailboxes("", "ann", 10);
  ASSERT_TRUE(list.ok());
  ASSERT_EQ(list->size(), 1U);
  EXPECT_EQ(list->front().mailbox, "bob");
  list = one->engine->list_mailboxes("a", "", 10);
  ASSERT_TRUE(list.ok());
  ASSERT_EQ(list->size(), 1U);
  EXPECT_EQ(list->front().last, 3U);
}

TEST_F(PostgresTest, MovesCursorsForward) {
  auto one = host();
  const std::string data1 = letter("1");
  const std::string data2 = letter("2");
  AppendMessage first = append_of("1", data1, {"ann"});
  AppendMessage second = append_of("2", data2, {"ann"});
  COMMIT(one, &first, &second);
  const uint64_t epoch = first.places[0].epoch;
  AckMailbox two{"ann", "phone", 2};
  AckMailbox back{"ann", "phone", 1, epoch};
  AckMailbox far{"ann", "phone", 3};
  AckMailbox wrong{"ann", "phone", 1, epoch + 1};
  AckMailbox nobody{"eve", "phone", 1};
  COMMIT(one, &two, &back, &far, &wrong, &nobody);
  EXPECT_EQ(two.stands, 2U);
  EXPECT_GT(two.moved, 0);
  EXPECT_EQ(back.stands, 2U);
  EXPECT_EQ(far.outcome.code(), IMCTL_OUT_OF_RANGE);
  EXPECT_EQ(wrong.outcome.code(), IMCTL_FAILED_PRECONDITION);
  EXPECT_EQ(nobody.outcome.code(), IMCTL_OUT_OF_RANGE);
  auto cursors = one->engine->cursors("ann");
  ASSERT_TRUE(cursors.ok());
  EXPECT_EQ(cursors->epoch, epoch);
  ASSERT_EQ(cursors->cursors.size(), 1U);
  EXPECT_EQ(cursors->cursors[0].sequence, 2U);
  DeleteCursor gone{"ann", "phone"};
  DeleteCursor again{"ann", "phone"};
  COMMIT(one, &gone, &again);
  EXPECT_TRUE(gone.existed);
  EXPECT_FALSE(again.existed);
}

TEST_F(PostgresTest, DeletesAMailboxAndKeepsTheOthers) {
  auto one = host();
  std::vector<std::string> data;
  std::vector<AppendMessage> appends;
  for (int i = 0; i < 1200; ++i) data.push_back(letter(std::to_string(i)));
  for (int i = 0; i < 1200; ++i) {
    Strings to = {"ann"};
    if (i % 2 == 0) to.emplace_back("bob");
    appends.push_back(append_of(std::to_string(i), data[static_cast<size_t>(i)], to));
  }
  std::vector<AppendMessage*> pointers;
  for (auto& append : appends) pointers.push_back(&append);
  ASSERT_TRUE(commit(*one->engine, pointers).ok());
  const uint64_t epoch = appends[0].places[0].epoch;
  DeleteMailbox gone{"ann"};
  int runs = 0;
  do {
    COMMIT(one, &gone);
    gone.begun = true;
    ++runs;
    EXPECT_EQ(read(*one, "ann"), Strings{});
  } while (gone.more);
  EXPECT_TRUE(gone.existed);
  EXPECT_GT(runs, 1);
  EXPECT_EQ(read(*one, "bob").size(), 600U);
  // Of a message that is left, what is left; the other may come again.
  AppendMessage even = append_of("0", data[0], {"ann"});
  AppendMessage odd = append_of("1", data[1], {"ann"});
  COMMIT(one, &even, &odd);
  EXPECT_TRUE(even.duplicate);
  EXPECT_EQ(places(even), (Strings{"bob:1"}));
  EXPECT_FALSE(odd.duplicate);
  EXPECT_EQ(places(odd), (Strings{"ann:1"}));
  EXPECT_GT(odd.places[0].epoch, epoch);
  DeleteMailbox none{"eve"};
  COMMIT(one, &none);
  EXPECT_FALSE(none.existed);
  server().sql("DO $$ BEGIN IF (SELECT count(*) FROM " + schema_ +
               ".deliveries) <> 601 THEN RAISE 'left'; END IF; END $$");
}

TEST_F(PostgresTest, ExpiryLeavesADeclaredFirst) {
  auto one = host();
  std::vector<std::string> data;
  for (int i = 0; i < 1200; ++i) data.push_back(letter(std::to_string(i)));
  std::vector<AppendMessage> appends;
  for (int i = 0; i < 1200; ++i) {
    appends.push_back(append_of(std::to_string(i), data[static_cast<size_t>(i)], {"ann", "bob"}));
  }
  std::vector<AppendMessage*> pointers;
  for (auto& append : appends) pointers.push_back(&append);
  ASSERT_TRUE(commit(*one->engine, pointers).ok());
  const int64_t before = unix_ms();
  std::this_thread::sleep_for(std::chrono::milliseconds(3));
  const std::string late = letter("late");
  AppendMessage last = append_of("late", late, {"ann"});
  COMMIT(one, &last);
  uint64_t removed = 0;
  CleanMailboxes work{before};
  do {
    COMMIT(one, &work);
    removed += work.removed;
  } while (work.more);
  EXPECT_EQ(removed, 1200U);
  EXPECT_EQ(read(*one, "ann"), (Strings{"1201:late"}));
  auto bob = one->engine->read_mailbox("bob", 0, 10, 1000);
  ASSERT_TRUE(bob.ok());
  EXPECT_EQ(bob->state.first, 1201U);
  EXPECT_EQ(bob->state.last, 1200U);
  EXPECT_TRUE(bob->entries.empty());
}

TEST_F(PostgresTest, CommitsRecordsAllOrNone) {
  auto one = host();
  CommitRecords first{{record("a", "1"), record("b", "2")}};
  CommitRecords second{{record("c", "3"), record("a", "4")}};
  second.writes[1].create = true;
  CommitRecords third{{erase("b"), record("a", "5")}};
  third.writes[1].revision = 1;
  CommitRecords fourth{{erase("b")}};
  COMMIT(one, &first, &second, &third, &fourth);
  EXPECT_TRUE(first.outcome.ok());
  EXPECT_EQ(first.revisions, (std::vector<uint64_t>{1, 2}));
  EXPECT_EQ(second.outcome.code(), IMCTL_ALREADY_EXISTS);
  EXPECT_EQ(second.failed, 1U);
  EXPECT_EQ(third.revisions, (std::vector<uint64_t>{3, 4}));
  EXPECT_EQ(fourth.outcome.code(), IMCTL_NOT_FOUND);
  auto a = one->engine->get_record("test/things", "a");
  ASSERT_TRUE(a.ok() && a->has_value());
  EXPECT_EQ((*a)->value, "5");
  EXPECT_EQ((*a)->revision, 4U);
  auto c = one->engine->get_record("test/things", "c");
  ASSERT_TRUE(c.ok());
  EXPECT_FALSE(c->has_value());
  CommitRecords stale{{record("a", "6")}};
  stale.writes[0].revision = 1;
  COMMIT(one, &stale);
  EXPECT_EQ(stale.outcome.code(), IMCTL_FAILED_PRECONDITION);

  auto changes = one->engine->changes("test/things", 0, 100, 1U << 20U);
  ASSERT_TRUE(changes.ok());
  ASSERT_EQ(changes->changes.size(), 2U);
  EXPECT_TRUE(changes->changes[0].deleted);
  EXPECT_EQ(changes->changes[0].record.key, "b");
  EXPECT_EQ(changes->changes[1].record.value, "5");
  EXPECT_EQ(changes->upto, 4U);
  changes = one->engine->changes("test/things", 0, 1, 1U << 20U);
  ASSERT_TRUE(changes.ok());
  EXPECT_TRUE(changes->changes.empty());
  EXPECT_EQ(changes->upto, 1U);
  CommitRecords nothing{{erase("z")}};
  nothing.writes[0].collection = "test/never";
  COMMIT(one, &nothing);
  auto collections = one->engine->collections();
  ASSERT_TRUE(collections.ok());
  ASSERT_EQ(collections->size(), 1U);
  EXPECT_EQ(collections->front().revision, 4U);
}

TEST_F(PostgresTest, ListsByKeyAndIndex) {
  auto one = host();
  CommitRecords work;
  for (int i = 0; i < 20; ++i) {
    std::string key = "k" + std::to_string(100 + i);
    work.writes.push_back(record(key, std::string(100, 'v'),
                                 {{"parity", i % 2 == 0 ? "even" : "odd"}, {"last", key}}));
  }
  COMMIT(one, &work);
  RecordQuery query;
  query.collection = "test/things";
  query.prefix = "k10";
  query.limit = 4;
  query.max_bytes = 1U << 20U;
  bool more = false;
  EXPECT_EQ(list(*one, query, &more), (Strings{"k100", "k101", "k102", "k103"}));
  EXPECT_TRUE(more);
  query.after_key = "k103";
  query.limit = 6;
  EXPECT_EQ(list(*one, query, &more).size(), 6U);
  EXPECT_FALSE(more);
  query.after_key.clear();
  query.max_bytes = 500;
  EXPECT_EQ(list(*one, query, &more).size(), 2U);
  EXPECT_TRUE(more);
  query.max_bytes = 1U << 20U;
  query.limit = 100;
  query.prefix.clear();
  query.index = RecordIndex{"parity", "even"};
  EXPECT_EQ(list(*one, query, &more).size(), 10U);
  query.index->value = "e";
  EXPECT_EQ(list(*one, query), Strings{});
  query.index_prefix = true;
  EXPECT_EQ(list(*one, query).size(), 10U);
  query.index->value = "";
  EXPECT_EQ(list(*one, query).size(), 20U);
  query.after_value = "odd";
  query.after_key = "k117";
  EXPECT_EQ(list(*one, query), (Strings{"k119"}));
  // Index entries are replaced with the record.
  CommitRecords change{{record("k100", "w", {{"parity", "odd"}}), erase("k102")}};
  COMMIT(one, &change);
  query = {};
  query.collection = "test/things";
  query.limit = 100;
  query.max_bytes = 1U << 20U;
  query.index = RecordIndex{"parity", "even"};
  EXPECT_EQ(list(*one, query).size(), 8U);
  query.index = RecordIndex{"last", "k100"};
  EXPECT_EQ(list(*one, query), Strings{});
}

TEST_F(PostgresTest, ForgetsOldChanges) {
  Retention retention = keep();
  retention.changes = 10;
  auto one = host(retention);
  for (int i = 0; i < 25; ++i) {
    CommitRecords work{{record("k" + std::to_string(i), "v")}};
    COMMIT(one, &work);
  }
  auto changes = one->engine->changes("test/things", 15, 100, 1U << 20U);
  ASSERT_TRUE(changes.ok());
  EXPECT_EQ(changes->compacted, 15U);
  EXPECT_EQ(changes->revision, 25U);
  EXPECT_EQ(changes->changes.size(), 10U);
}

TEST_F(PostgresTest, DumpsAndLoads) {
  auto one = host();
  put(*one, messages({"a", "b", "c"}, "x"));
  const std::string data1 = letter("1");
  const std::string data2 = letter("2");
  AppendMessage first = append_of("1", data1, {"ann", "bob"});
  AppendMessage second = append_of("2", data2, {"ann"});
  COMMIT(one, &first, &second);
  AckMailbox ack{"ann", "phone", 1};
  COMMIT(one, &ack);
  CommitRecords records{{record("a", "1", {{"i", "v"}}), record("b", "2")}};
  COMMIT(one, &records);
  const auto items = dump(*one);
  ASSERT_EQ(items.size(), 3U + 2 + 2 + 1 + 2);

  Status full = load(*one, framed(items));
  EXPECT_EQ(full.code(), IMCTL_FAILED_PRECONDITION) << full.message();
  EXPECT_FALSE(one->engine->loading());

  schema_ += "_copy";
  auto two = host();
  auto other = host();
  // Cut off: nothing else may be done, here or elsewhere.
  auto cut = framed(items);
  cut.pop_back();
  Status status = load(*two, cut);
  ASSERT_TRUE(status.ok()) << status.message();
  EXPECT_TRUE(two->engine->loading());
  auto some = messages({"z"});
  PutMessages refused = put_of(some);
  EXPECT_EQ(commit(*other->engine, std::vector{&refused}).code(), IMCTL_FAILED_PRECONDITION);
  EXPECT_TRUE(other->engine->loading());
  // Again, by another host; the first is out.
  status = load(*other, framed(items));
  ASSERT_TRUE(status.ok()) << status.message();
  EXPECT_FALSE(other->engine->loading());
  EXPECT_EQ(texts(dump(*other)), texts(items));
  EXPECT_EQ(get(*other, {"a"}), (Strings{"a=x"}));
  EXPECT_EQ(read(*other, "ann"), (Strings{"1:1", "2:2"}));
  AppendMessage again = append_of("1", data1, {"eve"});
  const std::string data3 = letter("3");
  AppendMessage third = append_of("3", data3, {"ann"});
  COMMIT(other, &again, &third);
  EXPECT_EQ(places(again), places(first));
  EXPECT_EQ(places(third), (Strings{"ann:3"}));
  CommitRecords next{{record("c", "3")}};
  COMMIT(other, &next);
  EXPECT_EQ(next.revisions, (std::vector<uint64_t>{3}));
  auto changes = other->engine->changes("test/things", 2, 100, 1000);
  ASSERT_TRUE(changes.ok());
  EXPECT_EQ(changes->compacted, 2U);
  EXPECT_EQ(changes->changes.size(), 1U);
}

TEST_F(PostgresTest, ADumpIsOfOneMoment) {
  auto one = host();
  put(*one, messages({"a"}));
  auto reader = one->engine->dump();
  ASSERT_TRUE(reader.ok());
  put(*one, messages({"b"}));
  DeleteMessages gone{{"a"}};
  COMMIT(one, &gone);
  std::vector<v1::SnapshotItem> items;
  ASSERT_TRUE((*reader)->next(1000, &items).ok());
  ASSERT_EQ(items.size(), 1U);
  EXPECT_EQ(items[0].message().event(), event("a", ""));
}

}  // namespace
}  // namespace imctl::storage
