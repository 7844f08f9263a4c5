// The SQLite back end without a host.
#include <gtest/gtest.h>
#include <sqlite3.h>

#include <atomic>
#include <filesystem>
#include <fstream>
#include <future>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "bucket.h"
#include "config.h"
#include "filter.h"
#include "replaceable.h"
#include "test_parts.h"
#include "writer.h"

namespace imctl::storage {
namespace {

using std::chrono::milliseconds;

Options options_for(const std::string& path) { return {path, "messages", 1 << 20, 64 << 20}; }

Retention long_time() { return {std::chrono::hours(168), milliseconds(0), 100}; }

std::unique_ptr<Engine> open(const std::string& path, const Retention& retention = long_time()) {
  auto engine = ReplaceableEngine::open(options_for(path), retention);
  EXPECT_TRUE(engine.ok()) << engine.status().message();
  return engine.ok() ? std::move(*engine) : nullptr;
}

void commit(Engine& engine, const std::vector<Write*>& writes) {
  Status status = engine.commit(writes);
  EXPECT_TRUE(status.ok()) << status.message();
}

size_t put(Engine& engine, const std::vector<std::pair<std::string, std::string>>& messages) {
  PutOf put(messages);
  commit(engine, {put.write()});
  return put.put().stored;
}

// The texts of the messages found.
std::vector<std::string> get(Engine& engine, const std::vector<std::string_view>& ids) {
  std::vector<std::string> texts;
  Status status = engine.get_messages(ids, [&](std::string_view data) {
    pb::CloudEvent message;
    EXPECT_TRUE(message.ParseFromString(std::string(data)));
    texts.push_back(message.text_data());
    return true;
  });
  EXPECT_TRUE(status.ok()) << status.message();
  return texts;
}

using Texts = std::vector<std::string>;
using Batch = std::vector<std::pair<std::string, std::string>>;

// ---- settings

sqlite::v1::Config config_with(const std::string& uri) {
  sqlite::v1::Config config;
  config.set_uri(uri);
  config.set_db_name("messages");
  config.set_table("messages");
  return config;
}

TEST(Config, UriNamesTheFile) {
  EXPECT_EQ(read_config(config_with("sqlite:"), "/data")->path, "/data/messages.db");
  EXPECT_EQ(read_config(config_with("sqlite://"), "/data")->path, "/data/messages.db");
  EXPECT_EQ(read_config(config_with("sqlite:///var/m.db"), "/data")->path, "/var/m.db");
  for (const char* uri : {"postgresql://localhost", "sqlite::memory:", "sqlite:m.db",
                          "sqlite://host/m.db", "sqlite:///var/", "sqlite:///m.db?mode=ro", ""}) {
    EXPECT_EQ(read_config(config_with(uri), "/data").status().code(), IMCTL_INVALID_ARGUMENT)
        << uri;
  }
}

TEST(Config, RefusesTablesThatAreTaken) {
  for (const char* table : {"SQLite_messages", "deliveries", "Deliveries", ""}) {
    auto config = config_with("sqlite:");
    config.set_table(table);
    EXPECT_EQ(read_config(config, "/data").status().code(), IMCTL_INVALID_ARGUMENT) << table;
  }
}

// ---- the filter

TEST(Filter, KnowsItsKeysAndHardlyAnyOther) {
  KeyMaker keys(KeyMaker::new_secret());
  Filter filter;
  for (size_t i = 0; i < Filter::kKeys; ++i) filter.add(Filter::Probe(keys(std::to_string(i))));
  const Filter again(filter.bytes());
  size_t wrong = 0;
  for (size_t i = 0; i < Filter::kKeys; ++i) {
    EXPECT_TRUE(again.may_have(Filter::Probe(keys(std::to_string(i)))));
    if (again.may_have(Filter::Probe(keys("x" + std::to_string(i))))) ++wrong;
  }
  EXPECT_LT(wrong, Filter::kKeys / 2000);
}

// ---- keys and their rows

TEST(KeyTable, HasTheLastRowOfEachKey) {
  KeyMaker keys(KeyMaker::new_secret());
  KeyTable table;
  EXPECT_EQ(table.find(keys("1")), 0U);
  for (uint32_t row = 1; row <= 3000; ++row) table.put(keys(std::to_string(row % 1000)), row);
  EXPECT_EQ(table.size(), 1000U);
  EXPECT_EQ(table.entries().size(), 1000U);
  for (uint32_t i = 1; i < 1000; ++i) EXPECT_EQ(table.find(keys(std::to_string(i))), 2000 + i);
  EXPECT_EQ(table.find(keys("x")), 0U);
  table.clear();
  EXPECT_EQ(table.find(keys("1")), 0U);
  EXPECT_EQ(table.size(), 0U);
}

TEST(Index, FindsEachKeyAndNoOther) {
  KeyMaker keys(KeyMaker::new_secret());
  for (const uint32_t count : {0U, 1U, 2U, 300U, 65536U}) {
    std::vector<KeyRow> entries;
    for (uint32_t row = 1; row <= count; ++row) entries.push_back({keys(std::to_string(row)), row});
    std::sort(entries.begin(), entries.end(),
              [](const KeyRow& a, const KeyRow& b) { return a.key.view() < b.key.view(); });
    const Index index(entries);
    for (const KeyRow& entry : entries) EXPECT_EQ(index.find(entry.key), entry.row);
    for (uint32_t i = 0; i < 1000; ++i) EXPECT_EQ(index.find(keys("x" + std::to_string(i))), 0U);
  }
}

// ---- messages

TEST(Messages, PutUpToTheFirstConflict) {
  Folder folder;
  auto engine = open(folder.file("m.db"));
  EXPECT_EQ(put(*engine, {{"a", "1"}, {"b", "1"}, {"a", "1"}}), 3U);
  EXPECT_EQ(put(*engine, {{"c", "1"}, {"b", "2"}, {"d", "1"}}), 1U);
  EXPECT_EQ(get(*engine, {"a", "b", "c", "d", "a"}), (Texts{"1", "1", "1", "1"}));
  // Of two in one group that want the same id, the first has it.
  PutOf one(Batch{{"e", "1"}});
  PutOf other(Batch{{"f", "2"}, {"e", "2"}});
  commit(*engine, {one.write(), other.write()});
  EXPECT_EQ(one.put().stored, 1U);
  EXPECT_EQ(other.put().stored, 1U);
  EXPECT_EQ(get(*engine, {"e", "f"}), (Texts{"1", "2"}));
}

TEST(Messages, AreFoundInEveryBucketAlsoAfterAStart) {
  Folder folder;
  constexpr int kMessages = 2 * static_cast<int>(Filter::kKeys) + 10;
  auto engine = open(folder.file("m.db"));
  std::vector<std::pair<std::string, std::string>> part;
  for (int i = 0; i < kMessages; ++i) {
    part.emplace_back(std::to_string(i), "t" + std::to_string(i));
    if (part.size() < 10'000 && i + 1 < kMessages) continue;
    EXPECT_EQ(put(*engine, part), part.size());
    part.clear();
  }
  for (int start = 0; start < 2; ++start) {
    EXPECT_EQ(get(*engine, {"131081", "0", "70000", "131082", "65536"}),
              (Texts{"t131081", "t0", "t70000", "t65536"}));
    EXPECT_EQ(put(*engine, {{"70000", "t70000"}, {"1", "other"}}), 1U);
    engine.reset();
    engine = open(folder.file("m.db"));
  }
  DeleteMessages work;
  work.ids = {"0", "70000", "70000", "x"};
  Write deletion = work;
  commit(*engine, {&deletion});
  EXPECT_EQ(std::get<DeleteMessages>(deletion).deleted, 2U);
  EXPECT_EQ(get(*engine, {"0", "70000", "1"}), (Texts{"t1"}));
}

TEST(Messages, AreFoundWhateverIsInMemory) {
  Folder folder;
  constexpr int kMessages = 3 * static_cast<int>(Filter::kKeys);
  Options options = options_for(folder.file("m.db"));
  std::vector<std::pair<std::string, std::string>> part;
  {
    auto engine = open(options.path);
    for (int i = 0; i < kMessages; ++i) {
      part.emplace_back(std::to_string(i), "t" + std::to_string(i));
      if (part.size() < 10'000 && i + 1 < kMessages) continue;
      EXPECT_EQ(put(*engine, part), part.size());
      part.clear();
    }
  }
  // Nothing, a filter, all filters, and an index too.
  for (const size_t memory :
       {size_t{0}, Filter::size(), 2 * Filter::size(), 2 * Filter::size() + Index::kBytes}) {
    options.index_memory = memory;
    auto engine = ReplaceableEngine::open(options, long_time());
    ASSERT_TRUE(engine.ok());
    EXPECT_EQ(get(**engine, {"1", "x", "65537", "131073"}), (Texts{"t1", "t65537", "t131073"}));
    EXPECT_EQ(put(**engine, {{"1", "t1"}, {"65537", "other"}}), 1U);
  }
}

// A message that is put again after it was deleted is the one that is found, also when the bucket
// of both is full or the engine was opened again; and no row is given twice.
TEST(Messages, PutAgainInTheSameBucket) {
  Folder folder;
  auto engine = open(folder.file("m.db"));
  auto remove = [&](const std::string& id) {
    DeleteMessages work;
    work.ids = {id};
    Write deletion = work;
    commit(*engine, {&deletion});
    return std::get<DeleteMessages>(deletion).deleted;
  };
  EXPECT_EQ(put(*engine, {{"a", "1"}, {"b", "1"}}), 2U);
  EXPECT_EQ(remove("a"), 1U);
  EXPECT_EQ(remove("b"), 1U);
  engine.reset();
  engine = open(folder.file("m.db"));
  EXPECT_EQ(get(*engine, {"a", "b"}), Texts{});
  EXPECT_EQ(put(*engine, {{"c", "1"}}), 1U);
  EXPECT_EQ(get(*engine, {"a", "b", "c"}), (Texts{"1"}));
  EXPECT_EQ(put(*engine, {{"a", "2"}}), 1U);
  std::vector<std::pair<std::string, std::string>> rest;
  for (size_t i = 0; i < Filter::kKeys; ++i) rest.emplace_back("r" + std::to_string(i), "1");
  EXPECT_EQ(put(*engine, rest), rest.size());
  for (int start = 0; start < 2; ++start) {
    EXPECT_EQ(get(*engine, {"a", "b", "c"}), (Texts{"2", "1"}));
    engine.reset();
    engine = open(folder.file("m.db"));
  }
  EXPECT_EQ(remove("a"), 1U);
  EXPECT_EQ(remove("a"), 0U);
  // What a clean counts is what was still there.
  CleanMessages work;
  work.before = unix_ms() + 1;
  Write clean = work;
  uint64_t removed = 0;
  do {
    commit(*engine, {&clean});
    removed += std::get<CleanMessages>(clean).removed;
  } while (std::get<CleanMessages>(clean).more);
  EXPECT_EQ(removed, rest.size() + 1);
}

TEST(Messages, WithoutMemoryForFiltersAreFoundAllTheSame) {
  Folder folder;
  Options options = options_for(folder.file("m.db"));
  options.index_memory = 0;
  Retention retention = long_time();
  retention.messages = milliseconds(16'000);  // a bucket each second
  auto engine = ReplaceableEngine::open(options, retention);
  ASSERT_TRUE(engine.ok());
  EXPECT_EQ(put(**engine, {{"a", "1"}}), 1U);
  std::this_thread::sleep_for(milliseconds(1100));
  EXPECT_EQ(put(**engine, {{"b", "1"}, {"a", "1"}, {"a", "2"}}), 2U);
  EXPECT_EQ(get(**engine, {"a", "b"}), (Texts{"1", "1"}));
}

TEST(Messages, ExpiredAreAbsentAndCleaned) {
  Folder folder;
  Retention retention = long_time();
  retention.messages = milliseconds(200);
  auto engine = open(folder.file("m.db"), retention);
  EXPECT_EQ(put(*engine, {{"a", "1"}, {"b", "1"}}), 2U);
  std::this_thread::sleep_for(milliseconds(250));
  EXPECT_EQ(get(*engine, {"a", "b"}), Texts{});
  EXPECT_EQ(put(*engine, {{"a", "2"}}), 1U);
  EXPECT_EQ(get(*engine, {"a"}), (Texts{"2"}));
  CleanMessages work;
  work.before = unix_ms() - 200;
  Write clean = work;
  uint64_t removed = 0;
  do {
    commit(*engine, {&clean});
    removed += std::get<CleanMessages>(clean).removed;
  } while (std::get<CleanMessages>(clean).more);
  EXPECT_EQ(removed, 2U);
  EXPECT_EQ(get(*engine, {"a"}), (Texts{"2"}));
}

TEST(Messages, AllThatIsTooOldGoesAlsoOfABucketThatIsNot) {
  Folder folder;
  auto engine = open(folder.file("m.db"));
  std::vector<std::pair<std::string, std::string>> old;
  for (int i = 0; i < 2500; ++i) old.emplace_back(std::to_string(i), "old");
  put(*engine, old);
  const int64_t between = unix_ms();
  while (unix_ms() == between) std::this_thread::yield();
  put(*engine, {{"young", "young"}});
  CleanMessages work;
  work.before = between;
  work.all = false;
  Write clean = work;
  commit(*engine, {&clean});
  EXPECT_EQ(std::get<CleanMessages>(clean).removed, 0U);
  std::get<CleanMessages>(clean).all = true;
  std::vector<uint64_t> parts;
  do {
    commit(*engine, {&clean});
    parts.push_back(std::get<CleanMessages>(clean).removed);
  } while (std::get<CleanMessages>(clean).more);
  EXPECT_EQ(parts, (std::vector<uint64_t>{1000, 1000, 500}));
  EXPECT_EQ(get(*engine, {"0", "2499", "young"}), (Texts{"young"}));
  EXPECT_EQ(put(*engine, {{"0", "again"}}), 1U);
}

// ---- mailboxes

TEST(Mailboxes, ADeletedOneTakesAlongWhatIsNowhereElse) {
  Folder folder;
  auto engine = open(folder.file("m.db"));
  std::vector<std::unique_ptr<AppendOf>> appends;
  std::vector<Write*> writes;
  for (int i = 0; i < 2100; ++i) {
    std::vector<std::string> to{"ann"};
    if (i % 2 == 0) to.emplace_back("bob");
    appends.push_back(std::make_unique<AppendOf>(std::to_string(i), to));
    writes.push_back(appends.back()->write());
  }
  commit(*engine, writes);
  DeleteMailbox work;
  work.mailbox = "ann";
  Write deletion = work;
  int parts = 0;
  do {
    commit(*engine, {&deletion});
    std::get<DeleteMailbox>(deletion).begun = true;
    ++parts;
    EXPECT_EQ(engine->read_mailbox("ann", 0, 10, 1 << 20)->state.epoch, 0U);
  } while (std::get<DeleteMailbox>(deletion).more);
  EXPECT_GE(parts, 3);
  EXPECT_EQ(engine->read_mailbox("bob", 0, 2000, 1 << 20)->entries.size(), 1050U);
  // One that was only in it is forgotten; the others are known, without it.
  AppendOf gone("1", {"bob"});
  AppendOf known("2", {"ann"});
  commit(*engine, {gone.write(), known.write()});
  EXPECT_FALSE(gone.append().duplicate);
  EXPECT_TRUE(known.append().duplicate);
  ASSERT_EQ(known.append().places.size(), 1U);
  EXPECT_EQ(known.append().places[0].mailbox, "bob");
}

TEST(Mailboxes, AnUnfinishedDeleteIsFinishedAtTheStart) {
  Folder folder;
  auto engine = open(folder.file("m.db"));
  AppendOf append("1", {"ann"});
  commit(*engine, {append.write()});
  DeleteMailbox work;
  work.mailbox = "ann";
  Write deletion = work;
  commit(*engine, {&deletion});
  EXPECT_TRUE(std::get<DeleteMailbox>(deletion).more);
  engine.reset();
  engine = open(folder.file("m.db"));
  AppendOf again("1", {"ann"});
  commit(*engine, {again.write()});
  EXPECT_FALSE(again.append().duplicate);
  EXPECT_GT(again.append().places[0].epoch, append.append().places[0].epoch);
}

TEST(Mailboxes, WhatExpiresLeavesADeclaredFirst) {
  Folder folder;
  Retention retention = long_time();
  retention.mailboxes = milliseconds(160);  // a bucket every 10 ms
  auto engine = open(folder.file("m.db"), retention);
  AppendOf one("1", {"ann", "bob"});
  commit(*engine, {one.write()});
  std::this_thread::sleep_for(milliseconds(20));
  AppendOf two("2", {"ann"});
  commit(*engine, {two.write()});
  CleanMailboxes work;
  work.before = unix_ms() - 10;
  Write clean = work;
  do {
    commit(*engine, {&clean});
  } while (std::get<CleanMailboxes>(clean).more);
  auto ann = engine->read_mailbox("ann", 0, 10, 1 << 20);
  EXPECT_EQ(ann->state.first, 2U);
  EXPECT_EQ(ann->state.last, 2U);
  ASSERT_EQ(ann->entries.size(), 1U);
  EXPECT_EQ(ann->entries[0].sequence, 2U);
  auto bob = engine->read_mailbox("bob", 0, 10, 1 << 20);
  EXPECT_EQ(bob->state.first, 2U);
  EXPECT_EQ(bob->state.last, 1U);
}

TEST(Mailboxes, ACleanThatFailedHalfWayBeginsAgain) {
  Folder folder;
  Retention retention = long_time();
  retention.mailboxes = std::chrono::hours(16);
  auto engine = open(folder.file("m.db"), retention);
  std::vector<std::unique_ptr<AppendOf>> appends;
  std::vector<Write*> writes;
  for (int i = 0; i < 1500; ++i) {
    appends.push_back(
        std::make_unique<AppendOf>(std::to_string(i), std::vector<std::string>{"ann"}));
    writes.push_back(appends.back()->write());
  }
  commit(*engine, writes);
  CleanMailboxes work;
  work.before = unix_ms();
  Write clean = work;
  AckMailbox ack;
  ack.mailbox = "ann";
  ack.device = "phone";
  ack.sequence = 1;
  Write failing = ack;
  SQLite::Database other(folder.file("m.db"), SQLITE_OPEN_READWRITE);
  other.exec("CREATE TRIGGER no BEFORE INSERT ON cursors BEGIN SELECT RAISE(ABORT,'no'); END");
  EXPECT_FALSE(engine->commit(std::vector<Write*>{&clean, &failing}).ok());
  other.exec("DROP TRIGGER no");
  do {
    commit(*engine, {&clean});
  } while (std::get<CleanMailboxes>(clean).more);
  auto ann = engine->read_mailbox("ann", 0, 10, 1 << 20);
  ASSERT_TRUE(ann.ok()) << ann.status().message();
  EXPECT_EQ(ann->state.first, 1501U);
  EXPECT_TRUE(ann->entries.empty());
}

// ---- the file

TEST(File, ForeignAndNewerOnesAreRefused) {
  Folder folder;
  const std::string path = folder.file("m.db");
  { SQLite::Database(path, SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE).exec("CREATE TABLE t(x)"); }
  auto engine = ReplaceableEngine::open(options_for(path), long_time());
  EXPECT_EQ(engine.status().code(), IMCTL_FAILED_PRECONDITION);
  EXPECT_NE(engine.status().message().find("another program"), std::string::npos);

  const std::string newer = folder.file("n.db");
  open(newer).reset();
  { SQLite::Database(newer, SQLITE_OPEN_READWRITE).exec("PRAGMA user_version=99"); }
  engine = ReplaceableEngine::open(options_for(newer), long_time());
  EXPECT_EQ(engine.status().code(), IMCTL_FAILED_PRECONDITION);
  EXPECT_NE(engine.status().message().find("newer version"), std::string::npos);

  std::ofstream(folder.file("x.db")) << std::string(5000, 'x');
  engine = ReplaceableEngine::open(options_for(folder.file("x.db")), long_time());
  EXPECT_EQ(engine.status().code(), IMCTL_DATA_LOSS);
  engine = ReplaceableEngine::open(options_for(folder.file("none/x.db")), long_time());
  EXPECT_EQ(engine.status().code(), IMCTL_FAILED_PRECONDITION);
}

TEST(File, HasOneThatWrites) {
  Folder folder;
  auto engine = open(folder.file("m.db"));
  auto other = ReplaceableEngine::open(options_for(folder.file("m.db")), long_time());
  EXPECT_EQ(other.status().code(), IMCTL_FAILED_PRECONDITION);
  EXPECT_NE(other.status().message().find("in use"), std::string::npos);
  EXPECT_EQ(put(*engine, {{"a", "1"}}), 1U);
  engine.reset();
  EXPECT_EQ(get(*open(folder.file("m.db")), {"a"}), (Texts{"1"}));
}

TEST(File, DamageIsFoundAfterAnUncleanStop) {
  Folder folder;
  const std::string path = folder.file("m.db");
  {
    auto engine = open(path);
    for (int i = 0; i < 200; ++i) put(*engine, {{std::to_string(i), std::string(1000, 'x')}});
  }
  EXPECT_FALSE(std::filesystem::exists(path + "-wal"));
  const auto size = std::filesystem::file_size(path);
  {
    std::fstream file(path, std::ios::in | std::ios::out | std::ios::binary);
    file.seekp(16384);
    file << std::string(size - 16384, '\xFF');
  }
  std::ofstream(path + "-wal").flush();
  for (int start = 0; start < 2; ++start) {
    auto engine = ReplaceableEngine::open(options_for(path), long_time());
    EXPECT_EQ(engine.status().code(), IMCTL_DATA_LOSS);
    EXPECT_NE(engine.status().message().find(path), std::string::npos);
    EXPECT_EQ(std::filesystem::file_size(path), size);
  }
}

// ---- all at once

TEST(Engine, ManyThreadsWriteAndRead) {
  Folder folder;
  auto engine = open(folder.file("m.db"));
  Watchers watchers;
  {
    Writer writer(engine.get(), &watchers, 64 << 20, WriterMetrics(), std::chrono::hours(1), [] {});
    std::atomic<int> wrong{0};
    std::vector<std::thread> threads;
    threads.reserve(4);
    for (int t = 0; t < 4; ++t) {
      threads.emplace_back([&, t] {
        for (int i = 0; i < 100; ++i) {
          const std::string id = std::to_string(t) + "/" + std::to_string(i);
          const std::string data = event(id).SerializeAsString();
          PutMessages work;
          work.items.push_back({id, data});
          std::promise<size_t> stored;
          writer.submit(std::move(work), [&](const Status&, const PutMessages& done, uint64_t) {
            stored.set_value(done.stored);
          });
          if (stored.get_future().get() != 1) ++wrong;
          if (get(*engine, {id}).size() != 1) ++wrong;
          AppendMessage append;
          append.key = id;
          append.data = data;
          append.mailboxes = {"all", "box" + std::to_string(t)};
          std::promise<uint64_t> sequence;
          writer.submit(std::move(append), [&](const Status&, const AppendMessage& done, uint64_t) {
            sequence.set_value(done.places[0].sequence);
          });
          const uint64_t at = sequence.get_future().get();
          auto page = engine->read_mailbox("all", at - 1, 1, 1 << 20);
          if (!page.ok() || page->entries.size() != 1 || page->entries[0].data != data) ++wrong;
        }
      });
    }
    for (std::thread& thread : threads) thread.join();
    EXPECT_EQ(wrong, 0);
  }
  auto page = engine->read_mailbox("all", 0, 1000, 1 << 20);
  ASSERT_EQ(page->entries.size(), 400U);
  for (uint64_t i = 0; i < 400; ++i) EXPECT_EQ(page->entries[i].sequence, i + 1);
}

}  // namespace
}  // namespace imctl::storage
