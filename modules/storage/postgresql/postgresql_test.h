// What the tests of the PostgreSQL back end share: a server, hosts' engines on it, and short ways
// to write and read.
#ifndef IMCTL_STORAGE_POSTGRESQL_POSTGRESQL_TEST_H
#define IMCTL_STORAGE_POSTGRESQL_POSTGRESQL_TEST_H

#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <memory>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "api/grpc/cloudevents/cloudevent.pb.h"
#include "imctl/storage/v1/mailboxes.pb.h"
#include "message.h"
#include "postgresql_engine.h"
#include "test_server.h"

namespace imctl::storage {

inline TestServer& server() {
  static TestServer one;
  return one;
}

inline Retention keep(std::chrono::milliseconds messages = std::chrono::hours(1)) {
  return {messages, std::chrono::milliseconds(0), 100000};
}

// A host's engine and its watchers.
struct TestHost {
  Watchers watchers;
  std::unique_ptr<PostgresEngine> engine;
  std::atomic<int> warnings{0};

  PostgresEngine* operator->() const { return engine.get(); }
};

inline postgresql::v1::Config config_for(const std::string& schema, const std::string& uri) {
  postgresql::v1::Config config;
  config.set_uri(uri);
  config.set_table(schema);
  config.set_connections(8);
  config.mutable_connect_timeout()->set_seconds(5);
  config.mutable_answer_timeout()->set_seconds(30);
  return config;
}

inline Status open(TestHost* host, const postgresql::v1::Config& config, Retention retention) {
  auto options = read_options(config);
  if (!options.ok()) return options.status();
  auto engine = PostgresEngine::open(
      *options, retention, &host->watchers, [host](const std::string&) { ++host->warnings; },
      [](const std::string&) {});
  if (!engine.ok()) return engine.status();
  host->engine = std::move(*engine);
  return {};
}

class PostgresTest : public ::testing::Test {
 protected:
  PostgresTest() {
    static int count = 0;
    schema_ = "test_" + std::to_string(++count);
  }

  std::unique_ptr<TestHost> host(Retention retention = keep()) {
    auto made = std::make_unique<TestHost>();
    Status status = open(made.get(), config_for(schema_, server().uri()), retention);
    EXPECT_TRUE(status.ok()) << status.message();
    return made;
  }

  std::string schema_;
};

inline std::string event(const std::string& id, const std::string& text) {
  pb::CloudEvent message;
  message.set_id(id);
  message.set_source("test");
  message.set_text_data(text);
  return message.SerializeAsString();
}

struct Given {
  std::string id;
  std::string data;
};
inline std::vector<Given> messages(const std::vector<std::string>& ids,
                                   const std::string& text = "") {
  std::vector<Given> all;
  for (const std::string& id : ids) all.push_back({id, event(id, text)});
  return all;
}

template <class Work>
inline Status commit(Engine& engine, std::vector<Work*> works) {
  std::vector<Write> writes;
  for (Work* work : works) writes.emplace_back(std::move(*work));
  std::vector<Write*> pointers;
  for (Write& write : writes) pointers.push_back(&write);
  Status status = engine.commit(pointers);
  for (size_t i = 0; i < works.size(); ++i) *works[i] = std::move(std::get<Work>(writes[i]));
  return status;
}
#define COMMIT(host, ...)                                                 \
  do {                                                                    \
    Status committed = commit(*(host)->engine, std::vector{__VA_ARGS__}); \
    ASSERT_TRUE(committed.ok()) << committed.message();                   \
  } while (false)

inline PutMessages put_of(const std::vector<Given>& given) {
  PutMessages work;
  for (const Given& one : given) work.items.push_back({one.id, one.data});
  return work;
}
inline size_t put(TestHost& host, const std::vector<Given>& given) {
  PutMessages work = put_of(given);
  Status status = commit(*host.engine, std::vector{&work});
  EXPECT_TRUE(status.ok()) << status.message();
  return work.stored;
}

inline std::vector<std::string> get(TestHost& host, const std::vector<std::string>& ids) {
  std::vector<std::string_view> views(ids.begin(), ids.end());
  std::vector<std::string> found;
  Status status = host->get_messages(views, [&](std::string_view data) {
    pb::CloudEvent message;
    EXPECT_TRUE(message.ParseFromArray(data.data(), static_cast<int>(data.size())));
    found.push_back(message.id() + "=" + message.text_data());
    return true;
  });
  EXPECT_TRUE(status.ok()) << status.message();
  return found;
}

using Strings = std::vector<std::string>;

inline std::string letter(const std::string& id, const std::string& text = "") {
  v1::Message message;
  message.mutable_event()->set_id(id);
  message.mutable_event()->set_source("test");
  message.mutable_event()->set_text_data(text);
  return message.SerializeAsString();
}
inline std::string key_of(const std::string& id) {
  pb::CloudEvent message;
  message.set_id(id);
  message.set_source("test");
  return delivery_key(message);
}
inline AppendMessage append_of(const std::string& id, const std::string& data, Strings mailboxes) {
  AppendMessage work;
  work.key = key_of(id);
  work.data = data;
  work.mailboxes = std::move(mailboxes);
  return work;
}
inline Strings places(const AppendMessage& work) {
  Strings all;
  for (const Place& place : work.places) {
    all.push_back(place.mailbox + ":" + std::to_string(place.sequence));
  }
  return all;
}
inline Strings read(TestHost& host, const std::string& mailbox, uint64_t after = 0,
                    size_t limit = 1000, size_t bytes = 1U << 30U) {
  auto page = host->read_mailbox(mailbox, after, limit, bytes);
  EXPECT_TRUE(page.ok()) << page.status().message();
  Strings all;
  if (!page.ok()) return all;
  for (const MailboxEntry& entry : page->entries) {
    v1::Message message;
    EXPECT_TRUE(message.ParseFromString(entry.data));
    all.push_back(std::to_string(entry.sequence) + ":" + message.event().id());
  }
  return all;
}

inline RecordWrite record(const std::string& key, const std::string& value,
                          std::vector<RecordIndex> indexes = {}) {
  RecordWrite write;
  write.collection = "test/things";
  write.key = key;
  write.value = value;
  write.indexes = std::move(indexes);
  return write;
}
inline RecordWrite erase(const std::string& key) {
  RecordWrite write = record(key, "");
  write.erase = true;
  return write;
}
inline Strings list(TestHost& host, const RecordQuery& query, bool* more = nullptr) {
  auto page = host->list_records(query);
  EXPECT_TRUE(page.ok()) << page.status().message();
  Strings keys;
  if (!page.ok()) return keys;
  for (const RecordRow& row : page->records) keys.push_back(row.key);
  if (more != nullptr) *more = page->more;
  return keys;
}

inline std::vector<v1::SnapshotItem> dump(TestHost& host) {
  std::vector<v1::SnapshotItem> all;
  auto reader = host->dump();
  EXPECT_TRUE(reader.ok()) << reader.status().message();
  if (!reader.ok()) return all;
  std::vector<v1::SnapshotItem> items;
  do {
    Status status = (*reader)->next(2000, &items);
    EXPECT_TRUE(status.ok()) << status.message();
    for (auto& item : items) all.push_back(std::move(item));
  } while (!items.empty());
  return all;
}
inline Strings texts(const std::vector<v1::SnapshotItem>& items) {
  Strings all;
  for (const auto& item : items) all.push_back(item.SerializeAsString());
  return all;
}
inline Status load(TestHost& host, std::vector<v1::SnapshotItem> items, size_t part = 7) {
  for (size_t at = 0; at < items.size(); at += part) {
    LoadSnapshot work;
    for (size_t i = at; i < std::min(items.size(), at + part); ++i) work.items.push_back(items[i]);
    Status status = commit(*host.engine, std::vector{&work});
    if (!status.ok()) return status;
    if (!work.outcome.ok()) return work.outcome;
  }
  return {};
}
inline std::vector<v1::SnapshotItem> framed(std::vector<v1::SnapshotItem> items) {
  v1::SnapshotItem begin;
  begin.mutable_begin()->set_format(1);
  items.insert(items.begin(), begin);
  items.emplace_back().mutable_end();
  return items;
}

}  // namespace imctl::storage

#endif  // IMCTL_STORAGE_POSTGRESQL_POSTGRESQL_TEST_H
