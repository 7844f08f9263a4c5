// The PostgreSQL back end against a real server: many hosts, and what goes wrong.
#include <map>
#include <set>

#include "postgresql_test.h"

namespace imctl::storage {
namespace {

TEST_F(PostgresTest, HostsAppendToOneMailboxWithoutGaps) {
  constexpr int kHosts = 3;
  constexpr int kRounds = 60;
  std::vector<std::unique_ptr<TestHost>> hosts;
  for (int i = 0; i < kHosts; ++i) hosts.push_back(host());
  std::vector<std::thread> threads;
  for (int h = 0; h < kHosts; ++h) {
    threads.emplace_back([&, h] {
      for (int round = 0; round < kRounds; ++round) {
        const std::string id = std::to_string(h) + "/" + std::to_string(round);
        const std::string data = letter(id);
        const std::string same = letter("same" + std::to_string(round));
        // In another order in each host.
        Strings boxes = {"ann", "bob", "eve"};
        std::rotate(boxes.begin(), boxes.begin() + h, boxes.end());
        AppendMessage mine = append_of(id, data, boxes);
        AppendMessage ours = append_of("same" + std::to_string(round), same, {boxes[0]});
        Status status = commit(*hosts[static_cast<size_t>(h)]->engine, std::vector{&mine, &ours});
        EXPECT_TRUE(status.ok()) << status.message();
      }
    });
  }
  for (auto& thread : threads) thread.join();
  size_t total = 0;
  for (const char* box : {"ann", "bob", "eve"}) {
    Strings entries = read(*hosts[0], box);
    total += entries.size();
    for (size_t i = 0; i < entries.size(); ++i) {
      EXPECT_EQ(entries[i].substr(0, entries[i].find(':')), std::to_string(i + 1));
    }
  }
  EXPECT_EQ(total, size_t{kHosts} * kRounds * 3 + kRounds);
}

TEST_F(PostgresTest, HostsPutTheSameIds) {
  constexpr int kHosts = 3;
  std::vector<std::unique_ptr<TestHost>> hosts;
  for (int i = 0; i < kHosts; ++i) hosts.push_back(host());
  std::vector<std::thread> threads;
  for (int h = 0; h < kHosts; ++h) {
    threads.emplace_back([&, h] {
      for (int round = 0; round < 40; ++round) {
        Strings ids;
        for (int i = 0; i < 50; ++i)
          ids.push_back(std::to_string((round * 25 + i * (h + 1)) % 1500));
        EXPECT_EQ(put(*hosts[static_cast<size_t>(h)], messages(ids, "x")), 50U);
        CommitRecords work{{record("k" + std::to_string(h), "v"), record("shared", "v")}};
        Status status = commit(*hosts[static_cast<size_t>(h)]->engine, std::vector{&work});
        EXPECT_TRUE(status.ok()) << status.message();
      }
    });
  }
  for (auto& thread : threads) thread.join();
  auto collections = hosts[0]->engine->collections();
  ASSERT_TRUE(collections.ok());
  EXPECT_EQ(collections->front().revision, uint64_t{kHosts} * 40 * 2);
  size_t bodies = 0;
  for (const auto& item : dump(*hosts[0])) bodies += item.has_message() ? 1 : 0;
  std::set<std::string> ids;
  for (int i = 0; i < 1500; ++i) ids.insert(std::to_string(i));
  EXPECT_EQ(get(*hosts[1], Strings(ids.begin(), ids.end())).size(), bodies);
}

// Waits for news on a thread of its own.
struct Wait {
  Watchers::Watcher watcher;
  std::atomic<int> heard{0};

  Wait(Watchers* all, Watchers::Kind kind, const std::string& name) : watcher(all, kind, name) {}
};

struct Coroutine {
  struct promise_type {
    Coroutine get_return_object() { return {}; }
    std::suspend_never initial_suspend() { return {}; }
    std::suspend_never final_suspend() noexcept { return {}; }
    void return_void() {}
    void unhandled_exception() { std::terminate(); }
  };
};
Coroutine hear(std::shared_ptr<Event> news, std::atomic<int>* heard) {
  co_await *news;
  ++*heard;
  heard->notify_all();
}

TEST_F(PostgresTest, TellsOtherHosts) {
  auto one = host();
  auto two = host();
  // The first news are those of the listener's start.
  {
    Wait start(&two->watchers, Watchers::Kind::kMailbox, "ann");
    std::atomic<int> heard{0};
    hear(start.watcher.news(), &heard);
    const std::string data = letter("0");
    AppendMessage work = append_of("0", data, {"ann"});
    COMMIT(one, &work);
    heard.wait(0);
  }
  const std::string odd("na\0me", 5);
  Wait mailbox(&two->watchers, Watchers::Kind::kMailbox, odd);
  Wait collection(&two->watchers, Watchers::Kind::kCollection, "test/things");
  hear(mailbox.watcher.news(), &mailbox.heard);
  hear(collection.watcher.news(), &collection.heard);
  const std::string data = letter("1");
  AppendMessage work = append_of("1", data, {odd});
  COMMIT(one, &work);
  mailbox.heard.wait(0);
  CommitRecords records{{record("a", "b")}};
  COMMIT(one, &records);
  collection.heard.wait(0);
}

TEST_F(PostgresTest, RefusesANewerVersion) {
  { auto one = host(); }
  server().sql("UPDATE " + schema_ + ".meta SET version = 99");
  TestHost newer;
  Status status = open(&newer, config_for(schema_, server().uri()), keep());
  EXPECT_EQ(status.code(), IMCTL_FAILED_PRECONDITION);
  EXPECT_NE(status.message().find("version 99"), std::string::npos) << status.message();
}

TEST_F(PostgresTest, RefusesTablesOfOthers) {
  server().sql("CREATE SCHEMA " + schema_);
  server().sql("CREATE TABLE " + schema_ + ".theirs (a int)");
  TestHost host;
  Status status = open(&host, config_for(schema_, server().uri()), keep());
  EXPECT_EQ(status.code(), IMCTL_FAILED_PRECONDITION) << status.message();
}

TEST_F(PostgresTest, ReadOnlyIsSaid) {
  auto one = host();
  server().sql("ALTER DATABASE im SET default_transaction_read_only = on");
  auto two = host();
  auto given = messages({"a"});
  PutMessages work = put_of(given);
  Status status = commit(*two->engine, std::vector{&work});
  server().sql("BEGIN READ WRITE; ALTER DATABASE im RESET default_transaction_read_only; COMMIT");
  EXPECT_EQ(status.code(), IMCTL_FAILED_PRECONDITION) << status.message();
  // As soon as it is not so any more.
  EXPECT_EQ(put(*two, given), 1U);
}

TEST_F(PostgresTest, TalksTls) {
  postgresql::v1::Config config = config_for(schema_, server().tcp_uri());
  config.set_sslmode("verify-full");
  config.set_sslrootcert(server().ca());
  TestHost host;
  Status status = open(&host, config, keep());
  ASSERT_TRUE(status.ok()) << status.message();
  EXPECT_EQ(put(host, messages({"a"})), 1U);
  server().sql(
      "DO $$ BEGIN IF NOT EXISTS (SELECT 1 FROM pg_stat_ssl s JOIN pg_stat_activity a USING (pid)"
      " WHERE s.ssl AND a.application_name = 'imctl') THEN RAISE 'none'; END IF; END $$");
  // Not the authority that signed.
  config.set_sslrootcert("/etc/ssl/certs/ca-certificates.crt");
  TestHost wary;
  status = open(&wary, config, keep());
  EXPECT_EQ(status.code(), IMCTL_UNAVAILABLE) << status.message();
}

TEST_F(PostgresTest, NeverShowsThePassword) {
  postgresql::v1::Config config = config_for(schema_, "postgresql://im:hidden@localhost:1/im");
  TestHost host;
  Status status = open(&host, config, keep());
  EXPECT_EQ(status.code(), IMCTL_UNAVAILABLE);
  EXPECT_EQ(status.message().find("hidden"), std::string::npos) << status.message();
  EXPECT_NE(status.message().find("localhost:1"), std::string::npos) << status.message();
  config.set_uri("postgresql://im:hidden@[::1/im");
  status = open(&host, config, keep());
  EXPECT_EQ(status.code(), IMCTL_INVALID_ARGUMENT);
  EXPECT_EQ(status.message().find("hidden"), std::string::npos) << status.message();
}

TEST_F(PostgresTest, ConnectionsThatWereEndedAreReplaced) {
  auto one = host();
  put(*one, messages({"a"}));
  get(*one, {"a"});
  server().sql(
      "SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity WHERE application_name = "
      "'imctl'");
  EXPECT_EQ(put(*one, messages({"b"})), 1U);
  EXPECT_EQ(get(*one, {"a", "b"}).size(), 2U);
}

TEST_F(PostgresTest, GoneAndBack) {
  auto one = host();
  put(*one, messages({"a"}));
  server().kill();
  auto b = messages({"b"});
  for (int i = 0; i < 20; ++i) {
    const auto start = std::chrono::steady_clock::now();
    PutMessages work = put_of(b);
    Status status = commit(*one->engine, std::vector{&work});
    EXPECT_EQ(status.code(), IMCTL_UNAVAILABLE) << status.message();
    std::vector<std::string_view> ids = {"a"};
    status = one->engine->get_messages(ids, [](std::string_view) { return true; });
    EXPECT_EQ(status.code(), IMCTL_UNAVAILABLE) << status.message();
    EXPECT_LT(std::chrono::steady_clock::now() - start, std::chrono::seconds(3));
  }
  server().start();
  Status status;
  do {
    PutMessages work = put_of(b);
    status = commit(*one->engine, std::vector{&work});
    if (!status.ok()) std::this_thread::sleep_for(std::chrono::milliseconds(10));
  } while (status.code() == IMCTL_UNAVAILABLE);
  EXPECT_TRUE(status.ok()) << status.message();
  EXPECT_EQ(get(*one, {"a", "b"}).size(), 2U);
}

TEST_F(PostgresTest, NothingAcknowledgedIsLostWhenTheServerFails) {
  constexpr int kHosts = 2;
  std::vector<std::unique_ptr<TestHost>> hosts;
  for (int i = 0; i < kHosts; ++i) hosts.push_back(host());
  std::atomic<bool> stop{false};
  std::vector<Strings> put_ids(kHosts);
  std::vector<std::map<std::string, uint64_t>> appended(kHosts);
  std::vector<std::thread> threads;
  std::atomic<int> acknowledged{0};
  for (size_t h = 0; h < kHosts; ++h) {
    threads.emplace_back([&, h] {
      for (int round = 0; !stop; ++round) {
        const std::string id = std::to_string(h) + "/" + std::to_string(round);
        auto given = messages({id + "a", id + "b"}, "x");
        const std::string data = letter(id);
        for (;;) {  // as a client does, until it is acknowledged
          PutMessages put = put_of(given);
          AppendMessage append = append_of(id, data, {"ann", "box" + std::to_string(h)});
          Write first(std::move(put));
          Write second(std::move(append));
          std::vector<Write*> writes = {&first, &second};
          Status status = hosts[h]->engine->commit(writes);
          if (status.ok()) {
            EXPECT_EQ(std::get<PutMessages>(first).stored, 2U);
            put_ids[h].push_back(id + "a");
            put_ids[h].push_back(id + "b");
            appended[h][id] = std::get<AppendMessage>(second).places[0].sequence;
            ++acknowledged;
            break;
          }
          EXPECT_EQ(status.code(), IMCTL_UNAVAILABLE) << status.message();
          std::this_thread::sleep_for(std::chrono::milliseconds(2));
        }
      }
    });
  }
  for (int round = 0; round < 3; ++round) {
    const int until = acknowledged + 300;
    while (acknowledged < until) std::this_thread::sleep_for(std::chrono::milliseconds(1));
    server().restart();
  }
  const int until = acknowledged + 100;
  while (acknowledged < until) std::this_thread::sleep_for(std::chrono::milliseconds(1));
  stop = true;
  for (auto& thread : threads) thread.join();
  std::map<std::string, uint64_t> stored;
  uint64_t next = 1;
  for (;;) {
    auto page = hosts[0]->engine->read_mailbox("ann", next - 1, 1000, 1U << 30U);
    ASSERT_TRUE(page.ok()) << page.status().message();
    if (page->entries.empty()) break;
    for (const MailboxEntry& entry : page->entries) {
      EXPECT_EQ(entry.sequence, next++);
      v1::Message message;
      message.ParseFromString(entry.data);
      EXPECT_TRUE(stored.emplace(message.event().id(), entry.sequence).second);
    }
  }
  size_t count = 0;
  for (size_t h = 0; h < kHosts; ++h) {
    EXPECT_EQ(get(*hosts[h], put_ids[h]).size(), put_ids[h].size());
    for (const auto& [id, sequence] : appended[h]) EXPECT_EQ(stored[id], sequence);
    count += appended[h].size();
  }
  EXPECT_EQ(stored.size(), count);
}

}  // namespace
}  // namespace imctl::storage
