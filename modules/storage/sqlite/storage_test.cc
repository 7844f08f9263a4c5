// The back end's parts without a host: settings, messages, file, store, writer, readers.
#include <gtest/gtest.h>
#include <sqlite3.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <future>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "api/grpc/service.pb.h"
#include "config.h"
#include "jobs.h"
#include "message.h"
#include "readers.h"
#include "schema.h"
#include "store.h"
#include "writer.h"

namespace imctl::storage {
namespace {

using awakari::messages::GetBatchResponse;
using std::chrono::milliseconds;

class Folder {
 public:
  Folder() {
    std::string pattern = std::filesystem::temp_directory_path() / "imctl-storage-XXXXXX";
    path_ = ::mkdtemp(pattern.data());
  }
  Folder(const Folder&) = delete;
  Folder& operator=(const Folder&) = delete;
  ~Folder() { std::filesystem::remove_all(path_); }
  std::string file(const std::string& name) const { return path_ + "/" + name; }

 private:
  std::string path_;
};

Options options_for(const std::string& path) {
  Options options;
  options.path = path;
  options.table = "messages";
  options.retention = std::chrono::hours(168);
  options.clean_interval = std::chrono::hours(1);
  options.max_batch = 1000;
  options.max_message = 1 << 20;
  options.max_reply = 4 << 20;
  options.queue_bytes = 64 << 20;
  return options;
}

pb::CloudEvent event(const std::string& id, const std::string& text = "text") {
  pb::CloudEvent e;
  e.set_id(id);
  e.set_source("example/uri");
  e.set_spec_version("1.0");
  e.set_type("example.type");
  e.set_text_data(text);
  return e;
}

Row row(const std::string& id, const std::string& text = "text") {
  return {id, canonical(event(id, text))};
}

std::unique_ptr<Store> open(const Options& options) {
  auto store = Store::open(options);
  EXPECT_TRUE(store.ok()) << store.status().message();
  return store.ok() ? std::move(*store) : nullptr;
}

size_t put(Store& store, const std::vector<Row>& rows) {
  size_t stored = 0;
  Status status = store.transaction([&] { stored = store.put(rows); });
  EXPECT_TRUE(status.ok()) << status.message();
  return stored;
}

Result<GetBatchResponse> get(Readers& readers, const std::vector<std::string>& ids) {
  Readers::Ids wanted(ids.begin(), ids.end());
  Result<std::string> bytes = readers.get(wanted);
  if (!bytes.ok()) return bytes.status();
  GetBatchResponse response;
  EXPECT_TRUE(response.ParseFromString(*bytes));
  return response;
}

// ---- settings

sqlite::v1::Config config_with(const std::string& uri) {
  sqlite::v1::Config config;
  config.set_uri(uri);
  config.set_db_name("messages");
  config.set_table("messages");
  config.mutable_retention()->set_seconds(3600);
  config.set_max_message(1 << 20);
  config.set_max_reply(4 << 20);
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

TEST(Config, RefusesWhatCouldNotWork) {
  auto config = config_with("sqlite:");
  config.set_table("SQLite_messages");
  EXPECT_EQ(read_config(config, "/data").status().code(), IMCTL_INVALID_ARGUMENT);
  config = config_with("sqlite:");
  config.set_max_reply(config.max_message());
  EXPECT_EQ(read_config(config, "/data").status().code(), IMCTL_INVALID_ARGUMENT);
}

// ---- messages

TEST(Message, NamesWhatIsMissing) {
  EXPECT_TRUE(validate(event("a"), 0, 1000).ok());
  auto e = event("a");
  e.clear_type();
  Status status = validate(e, 3, 1000);
  EXPECT_EQ(status.code(), IMCTL_INVALID_ARGUMENT);
  EXPECT_EQ(status.message(), "msgs[3] (id \"a\"): type is empty: every message needs one");
  EXPECT_EQ(validate(event("a", std::string(2000, 'x')), 0, 1000).code(), IMCTL_INVALID_ARGUMENT);
}

TEST(Message, LongIdsAreCutBetweenCharacters) {
  std::string id(63, 'x');
  EXPECT_EQ(describe(0, id + "\xC3\xA4\xC3\xA4"), "msgs[0] (id \"" + id + "...\")");
}

TEST(Message, CanonicalFormIgnoresMapOrderAndKeepsUnknownFields) {
  auto a = event("a");
  auto b = event("a");
  for (int i = 0; i < 20; ++i) (*a.mutable_attributes())["k" + std::to_string(i)].set_ce_integer(i);
  for (int i = 19; i >= 0; --i)
    (*b.mutable_attributes())["k" + std::to_string(i)].set_ce_integer(i);
  EXPECT_EQ(canonical(a), canonical(b));

  pb::CloudEvent unknown;
  ASSERT_TRUE(unknown.ParseFromString(canonical(a) + std::string("\xFA\x01\x02hi", 5)));
  EXPECT_NE(canonical(unknown), canonical(a));
  EXPECT_NE(canonical(unknown).find("hi"), std::string::npos);
}

TEST(Message, ParsingRefusesBadUtf8Everywhere) {
  const std::string bad = "\xFF";
  auto parses = [](const std::string& bytes) { return pb::CloudEvent().ParseFromString(bytes); };
  EXPECT_FALSE(parses("\x0A\x01" + bad));                  // id
  EXPECT_FALSE(parses("\x3A\x01" + bad));                  // text_data
  EXPECT_FALSE(parses("\x2A\x03\x0A\x01" + bad));          // an attribute's name
  EXPECT_FALSE(parses("\x2A\x05\x12\x03\x1A\x01" + bad));  // an attribute's ce_string
}

// ---- store and readers

TEST(Store, PutsUpToTheFirstConflict) {
  Folder folder;
  Options options = options_for(folder.file("m.db"));
  auto store = open(options);
  EXPECT_EQ(put(*store, {row("a"), row("b")}), 2U);
  EXPECT_EQ(put(*store, {row("a"), row("c"), row("b", "other"), row("d")}), 2U);
  EXPECT_EQ(put(*store, {row("e"), row("e"), row("e", "other"), row("f")}), 2U);
  EXPECT_EQ(put(*store, {row("a", "other")}), 0U);

  Readers readers(options);
  auto found = get(readers, {"c", "x", "a", "c", "d", "f"});
  ASSERT_TRUE(found.ok()) << found.status().message();
  ASSERT_EQ(found->msgs_size(), 3);
  EXPECT_EQ(found->msgs(0).id(), "c");
  EXPECT_EQ(found->msgs(1).id(), "a");
  EXPECT_EQ(canonical(found->msgs(1)), canonical(event("a")));
  EXPECT_EQ(found->msgs(2).id(), "c");
}

TEST(Store, ExpiredIsAbsent) {
  Folder folder;
  Options options = options_for(folder.file("m.db"));
  options.retention = milliseconds(50);
  auto store = open(options);
  Readers readers(options);
  EXPECT_EQ(put(*store, {row("a"), row("b")}), 2U);
  std::this_thread::sleep_for(milliseconds(80));
  EXPECT_EQ(get(readers, {"a"})->msgs_size(), 0);
  size_t removed = 9;
  ASSERT_TRUE(store->transaction([&] { removed = store->remove({"a"}); }).ok());
  EXPECT_EQ(removed, 0U);
  EXPECT_EQ(put(*store, {row("a", "new content")}), 1U);
  EXPECT_EQ(get(readers, {"a"})->msgs(0).text_data(), "new content");
  ASSERT_TRUE(
      store->transaction([&] { removed = store->clean(expired_since(options.retention), 10); })
          .ok());
  EXPECT_EQ(removed, 1U);
}

TEST(Store, LargeRepliesAreRefused) {
  Folder folder;
  Options options = options_for(folder.file("m.db"));
  options.max_reply = 3000;
  auto store = open(options);
  put(*store, {row("a", std::string(1400, 'x')), row("b", std::string(1400, 'x'))});
  Readers readers(options);
  EXPECT_EQ(get(readers, {"a", "b"})->msgs_size(), 2);
  EXPECT_EQ(get(readers, {"a", "b", "a"}).status().code(), IMCTL_RESOURCE_EXHAUSTED);
  EXPECT_EQ(get(readers, {"a"})->msgs_size(), 1);
}

TEST(Store, FailedTransactionLeavesNothing) {
  Folder folder;
  Options options = options_for(folder.file("m.db"));
  auto store = open(options);
  Status status = store->transaction([&] {
    store->put({row("a")});
    throw SQLite::Exception("no space", SQLITE_FULL);
  });
  EXPECT_EQ(status.code(), IMCTL_RESOURCE_EXHAUSTED);
  Readers readers(options);
  EXPECT_EQ(get(readers, {"a"})->msgs_size(), 0);
  EXPECT_EQ(put(*store, {row("a")}), 1U);
}

// ---- the file

TEST(File, ForeignAndNewerOnesAreRefused) {
  Folder folder;
  const std::string path = folder.file("m.db");
  { SQLite::Database(path, SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE).exec("CREATE TABLE t(x)"); }
  auto store = Store::open(options_for(path));
  EXPECT_EQ(store.status().code(), IMCTL_FAILED_PRECONDITION);
  EXPECT_NE(store.status().message().find("another program"), std::string::npos);

  const std::string newer = folder.file("n.db");
  open(options_for(newer)).reset();
  { SQLite::Database(newer, SQLITE_OPEN_READWRITE).exec("PRAGMA user_version=2"); }
  store = Store::open(options_for(newer));
  EXPECT_EQ(store.status().code(), IMCTL_FAILED_PRECONDITION);
  EXPECT_NE(store.status().message().find("newer version"), std::string::npos);

  std::ofstream(folder.file("x.db")) << std::string(5000, 'x');
  EXPECT_EQ(Store::open(options_for(folder.file("x.db"))).status().code(), IMCTL_DATA_LOSS);
  EXPECT_EQ(Store::open(options_for(folder.file("none/x.db"))).status().code(),
            IMCTL_FAILED_PRECONDITION);
}

TEST(File, DamageIsFoundAfterAnUncleanStop) {
  Folder folder;
  const std::string path = folder.file("m.db");
  {
    auto store = open(options_for(path));
    for (int i = 0; i < 200; ++i) put(*store, {row(std::to_string(i), std::string(1000, 'x'))});
  }
  EXPECT_FALSE(std::filesystem::exists(path + "-wal"));
  {
    std::fstream file(path, std::ios::in | std::ios::out | std::ios::binary);
    file.seekp(40960);
    file << std::string(8192, '\xFF');
  }
  const auto size = std::filesystem::file_size(path);
  std::ofstream(path + "-wal").flush();
  for (int start = 0; start < 2; ++start) {
    auto store = Store::open(options_for(path));
    EXPECT_EQ(store.status().code(), IMCTL_DATA_LOSS);
    EXPECT_NE(store.status().message().find(path), std::string::npos);
    EXPECT_EQ(std::filesystem::file_size(path), size);
  }
}

// ---- writer

// Ends a job into a future.
struct Ended {
  Status status;
  uint64_t count = 0;
};

template <template <class> class JobType, class Arg>
std::future<Ended> submit(Writer& writer, Arg arg) {
  std::promise<Ended> promise;
  auto future = promise.get_future();
  writer.submit(make_job<JobType>(
      std::move(arg), [promise = std::move(promise)](const Status& status, uint64_t count) mutable {
        promise.set_value({status, count});
      }));
  return future;
}

std::unique_ptr<Job> nothing_scheduled(void*) { return nullptr; }

// Holds the writer's thread until it is let go.
class Gate final : public Job {
 public:
  explicit Gate(std::shared_future<void> open) : open_(std::move(open)) {}
  size_t bytes() const override { return 1; }
  void run(Store&) override { open_.wait(); }
  void finish(const Status&) override {}

 private:
  std::shared_future<void> open_;
};

class Failing final : public Job {
 public:
  explicit Failing(std::promise<Status> done) : done_(std::move(done)) {}
  size_t bytes() const override { return 1; }
  void run(Store&) override { throw SQLite::Exception("no space", SQLITE_FULL); }
  void finish(const Status& status) override { done_.set_value(status); }

 private:
  std::promise<Status> done_;
};

TEST(Writer, OneBadJobDoesNotFailItsNeighbours) {
  Folder folder;
  Options options = options_for(folder.file("m.db"));
  Writer writer(open(options), options, {}, &nothing_scheduled, nullptr);
  std::promise<void> open_gate;
  writer.submit(std::make_unique<Gate>(open_gate.get_future().share()));
  auto before = submit<PutJob>(writer, std::vector<Row>{row("a")});
  std::promise<Status> failed;
  auto failure = failed.get_future();
  writer.submit(std::make_unique<Failing>(std::move(failed)));
  auto after = submit<PutJob>(writer, std::vector<Row>{row("b"), row("a", "other")});
  open_gate.set_value();
  EXPECT_EQ(before.get().count, 1U);
  EXPECT_EQ(failure.get().code(), IMCTL_RESOURCE_EXHAUSTED);
  Ended ended = after.get();
  EXPECT_TRUE(ended.status.ok());
  EXPECT_EQ(ended.count, 1U);
  EXPECT_EQ(submit<PutJob>(writer, std::vector<Row>{row("a", "other")}).get().status.code(),
            IMCTL_ALREADY_EXISTS);
}

TEST(Writer, QueueIsBounded) {
  Folder folder;
  Options options = options_for(folder.file("m.db"));
  options.queue_bytes = 4000;
  Writer writer(open(options), options, {}, &nothing_scheduled, nullptr);
  std::promise<void> open_gate;
  writer.submit(std::make_unique<Gate>(open_gate.get_future().share()));
  auto first = submit<PutJob>(writer, std::vector<Row>{row("a", std::string(2000, 'x'))});
  auto second = submit<PutJob>(writer, std::vector<Row>{row("b", std::string(2000, 'x'))});
  EXPECT_EQ(second.get().status.code(), IMCTL_RESOURCE_EXHAUSTED);
  open_gate.set_value();
  EXPECT_EQ(first.get().count, 1U);
  EXPECT_EQ(submit<PutJob>(writer, std::vector<Row>{row("c", std::string(9000, 'x'))}).get().count,
            1U);
}

TEST(Writer, CleansInPartsAndOnSchedule) {
  Folder folder;
  Options options = options_for(folder.file("m.db"));
  options.retention = milliseconds(1);
  auto store = open(options);
  std::vector<Row> rows;
  rows.reserve(2500);
  for (int i = 0; i < 2500; ++i) rows.push_back(row(std::to_string(i)));
  put(*store, rows);
  std::this_thread::sleep_for(milliseconds(10));
  {
    Writer writer(std::move(store), options, {}, &nothing_scheduled, nullptr);
    Ended ended = submit<CleanJob>(writer, expired_since(options.retention)).get();
    EXPECT_TRUE(ended.status.ok());
    EXPECT_EQ(ended.count, 2500U);
  }
  store = open(options);
  put(*store, {row("a")});
  options.clean_interval = milliseconds(20);
  struct Once {
    std::promise<uint64_t> cleaned;
    bool asked = false;
  } once;
  auto scheduled = [](void* user) -> std::unique_ptr<Job> {
    auto* o = static_cast<Once*>(user);
    if (std::exchange(o->asked, true)) return nullptr;
    return make_job<CleanJob>(expired_since(milliseconds(1)),
                              [o](const Status&, uint64_t count) { o->cleaned.set_value(count); });
  };
  Writer writer(std::move(store), options, {}, scheduled, &once);
  EXPECT_EQ(once.cleaned.get_future().get(), 1U);
}

TEST(Writer, ManyThreadsPutAndRead) {
  Folder folder;
  Options options = options_for(folder.file("m.db"));
  Readers readers(options);
  {
    Writer writer(open(options), options, {}, &nothing_scheduled, nullptr);
    std::vector<std::thread> threads;
    threads.reserve(4);
    for (int t = 0; t < 4; ++t) {
      threads.emplace_back([&, t] {
        for (int i = 0; i < 100; ++i) {
          const std::string id = std::to_string(t) + "/" + std::to_string(i);
          EXPECT_EQ(submit<PutJob>(writer, std::vector<Row>{row(id)}).get().count, 1U);
          auto found = get(readers, {id});
          ASSERT_TRUE(found.ok()) << found.status().message();
          EXPECT_EQ(found->msgs_size(), 1);
        }
      });
    }
    for (std::thread& thread : threads) thread.join();
    EXPECT_EQ(
        submit<RemoveJob>(writer, std::vector<std::string>{"0/0", "0/0", "x", "3/99"}).get().count,
        2U);
  }
  auto store = open(options);
  EXPECT_EQ(put(*store, {row("0/0", "new"), row("1/1")}), 2U);
}

}  // namespace
}  // namespace imctl::storage
