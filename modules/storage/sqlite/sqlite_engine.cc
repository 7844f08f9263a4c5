#include "sqlite_engine.h"

#include <sqlite3.h>

#include <algorithm>
#include <cstring>
#include <exception>
#include <filesystem>
#include <limits>
#include <type_traits>
#include <unordered_map>
#include <utility>

#include "errors.h"
#include "message.h"
#include "names.h"
#include "snapshot.h"
#include "unix_time.h"

namespace imctl::storage {
namespace {

// Buckets of a retention period: so many are dropped one after the other in its time.
constexpr int kBuckets = 16;
// A connection that reads has this part of the cache of the one that writes.
constexpr size_t kReaderShare = 4;
// What a part of a long work takes on at a time.
constexpr size_t kPart = 1000;

const char kLoading[] = "loading";
const char kMoved[] = "moved";
const char kSecret[] = "secret";

std::chrono::milliseconds span_of(std::chrono::milliseconds retention) {
  if (retention.count() == 0) return retention;
  return std::max(retention / kBuckets, std::chrono::milliseconds(1));
}

bool no_such_table(const SQLite::Exception& error) {
  return std::strstr(error.what(), "no such table") != nullptr;
}

}  // namespace

struct SqliteEngine::Reader {
  explicit Reader(const Options& options)
      : connection(options.path, Connection::Mode::kRead), messages(&connection, options.table) {
    connection.db().exec("PRAGMA cache_size=-" +
                         std::to_string(options.cache / 1024 / kReaderShare));
  }

  Connection connection;
  BucketReader messages;
};

Result<std::unique_ptr<Engine>> SqliteEngine::open(const Options& options,
                                                   const Retention& retention) {
  // Counting what it allocates takes a lock that all connections share. Too late, and no harm, if
  // this process uses SQLite already.
  (void)sqlite3_config(SQLITE_CONFIG_MEMSTATUS, 0);
  Result<std::unique_ptr<Connection>> connection = open_database(options.path);
  if (!connection.ok()) return connection.status();
  sqlite3* handle = (*connection)->handle();
  try {
    std::string secret;
    {
      Query query(**connection, "SELECT value FROM meta WHERE name=?");
      query << std::string_view(kSecret);
      if (query.step()) secret = query.text(0);
    }
    if (secret.size() != KeyMaker::kSecret) return damaged(options.path, "it has lost its secret");
    std::unique_ptr<SqliteEngine> engine(
        new SqliteEngine(options, retention, std::move(*connection), std::move(secret)));
    engine->start();
    return std::unique_ptr<Engine>(std::move(engine));
  } catch (const SQLite::Exception& error) {
    return to_status(error, *connection != nullptr ? handle : nullptr, options.path);
  }
}

SqliteEngine::SqliteEngine(const Options& options, const Retention& retention,
                           std::unique_ptr<Connection> connection, std::string secret)
    : options_(options),
      retention_(retention),
      connection_(std::move(connection)),
      keys_(std::move(secret)),
      messages_(connection_.get(),
                {options.table, span_of(retention.messages), options.index_memory}),
      deliveries_(connection_.get(),
                  {kDeliveries, span_of(retention.mailboxes), options.index_memory}),
      mailboxes_(connection_.get(), &deliveries_, &keys_),
      records_(connection_.get(), retention.changes) {}

SqliteEngine::~SqliteEngine() = default;

void SqliteEngine::start() {
  connection_->db().exec("PRAGMA cache_size=-" + std::to_string(options_.cache / 1024));
  reload();
  SQLite::Transaction transaction(connection_->db(), SQLite::TransactionBehavior::IMMEDIATE);
  mailboxes_.finish_deletes();
  transaction.commit();
  publish();
}

// What is in memory, from what is in the file.
void SqliteEngine::reload() {
  messages_.reload();
  deliveries_.reload();
  mailboxes_.reload();
  Query query(*connection_, "SELECT name,value FROM meta WHERE name IN (?,?)");
  query << std::string_view(kLoading) << std::string_view(kMoved);
  stored_loading_ = false;
  moved_.clear();
  while (query.step()) {
    if (query.blob(0) == kLoading) stored_loading_ = true;
    if (query.blob(0) == kMoved) moved_ = query.text(1);
  }
}

// To the readers, after a commit.
void SqliteEngine::publish() {
  loading_ = stored_loading_;
  std::shared_ptr<const Buckets> buckets = messages_.published();
  (void)deliveries_.published();
  std::lock_guard lock(mutex_);
  shown_moved_ = moved_;
  buckets_ = std::move(buckets);
}

void SqliteEngine::report(const Report& report) {
  auto size = [](const std::string& path) {
    std::error_code error;
    const auto bytes = std::filesystem::file_size(path, error);
    return std::to_string(error ? 0 : bytes);
  };
  report("file", options_.path);
  report("file_bytes", size(options_.path));
  report("log_bytes", size(options_.path + "-wal"));
  std::lock_guard lock(mutex_);
  if (!shown_moved_.empty()) report("moved_to", shown_moved_);
  size_t filters = 0;
  size_t indexes = 0;
  for (const Bucket& bucket : *buckets_) {
    if (bucket.filter != nullptr) ++filters;
    if (bucket.index != nullptr) ++indexes;
  }
  report("buckets", std::to_string(buckets_->size()));
  report("buckets_with_filter", std::to_string(filters));
  report("buckets_with_index", std::to_string(indexes));
  report("idle_readers", std::to_string(idle_.size()));
}

// ---- writing

Status SqliteEngine::commit(std::span<Write* const> writes) {
  if (!moved_.empty() && !std::holds_alternative<LoadSnapshot>(*writes.front())) {
    return moved_away(moved_);
  }
  Status status;
  try {
    connection_->db().exec("BEGIN IMMEDIATE");
    run(writes);
    messages_.flush();
    deliveries_.flush();
    connection_->db().exec("COMMIT");
    publish();
    return status;
  } catch (const SQLite::Exception& error) {
    status = to_status(error, connection_->handle(), options_.path);
  } catch (const std::bad_alloc&) {
    status = Status(IMCTL_RESOURCE_EXHAUSTED,
                    "no memory to write to the database " + options_.path + ": try again");
  }
  if (sqlite3_get_autocommit(connection_->handle()) == 0) {
    (void)connection_->db().tryExec("ROLLBACK");
  }
  // The log has grown for nothing; what it holds goes into the file, and its space is free again.
  if (status.code() == IMCTL_RESOURCE_EXHAUSTED) {
    (void)connection_->db().tryExec("PRAGMA wal_checkpoint(TRUNCATE)");
  }
  try {
    reload();
  } catch (const SQLite::Exception& error) {
    return to_status(error, connection_->handle(), options_.path);
  }
  return status;
}

void SqliteEngine::run(std::span<Write* const> writes) {
  const int64_t now = unix_ms();
  for (size_t i = 0; i < writes.size(); ++i) {
    if (std::holds_alternative<PutMessages>(*writes[i])) {
      size_t end = i + 1;
      while (end < writes.size() && std::holds_alternative<PutMessages>(*writes[end])) ++end;
      put(writes.subspan(i, end - i), now);
      i = end - 1;
      continue;
    }
    std::visit(
        [&](auto& work) {
          using Work = std::decay_t<decltype(work)>;
          if constexpr (std::is_same_v<Work, AppendMessage>) {
            mailboxes_.append(&work, now);
          } else if constexpr (std::is_same_v<Work, AckMailbox>) {
            mailboxes_.ack(&work, now);
          } else if constexpr (std::is_same_v<Work, DeleteCursor> ||
                               std::is_same_v<Work, DeleteMailbox>) {
            mailboxes_.remove(&work);
          } else if constexpr (std::is_same_v<Work, CleanMailboxes>) {
            mailboxes_.clean(&work);
          } else if constexpr (std::is_same_v<Work, CommitRecords>) {
            records_.commit(&work);
          } else if constexpr (!std::is_same_v<Work, PutMessages>) {
            run(&work);
          }
        },
        *writes[i]);
  }
}

void SqliteEngine::put(std::span<Write* const> writes, int64_t now) {
  std::vector<Key> keys;
  for (Write* write : writes) {
    for (const PutMessages::Item& item : std::get<PutMessages>(*write).items) {
      keys.push_back(keys_(item.id));
    }
  }
  // What was there before; what one of these puts, the others find in `mine`.
  const std::vector<std::optional<Stored>> before = messages_.find(keys, expired());
  std::unordered_map<Key, std::string_view, KeyHash> mine;
  mine.reserve(keys.size());
  size_t next = 0;
  for (Write* write : writes) {
    PutMessages& work = std::get<PutMessages>(*write);
    work.stored = 0;
    bool good = true;
    for (const PutMessages::Item& item : work.items) {
      const size_t i = next++;
      if (!good) continue;
      if (before[i]) {
        good = same_message(before[i]->data, item.data);
      } else if (auto [at, fresh] = mine.emplace(keys[i], item.data); fresh) {
        messages_.insert(keys[i], now, item.data);
      } else {
        good = same_message(at->second, item.data);
      }
      if (good) ++work.stored;
    }
  }
}

void SqliteEngine::run(DeleteMessages* work) {
  work->deleted = 0;
  for (const std::string& id : work->ids) {
    const Key key = keys_(id);
    const std::optional<Stored> stored = messages_.find({&key, 1}, expired())[0];
    if (!stored) continue;
    messages_.remove(stored->at);
    ++work->deleted;
  }
}

void SqliteEngine::run(CleanMessages* work) {
  work->removed = 0;
  work->more = false;
  if (messages_.oldest_expired(work->before)) {
    work->removed = messages_.drop_oldest();
    work->more = true;
    return;
  }
  if (!work->all) return;
  const std::vector<Stored> part = messages_.oldest(work->before, 0, kPart);
  for (const Stored& stored : part) messages_.remove(stored.at);
  work->removed = part.size();
  work->more = part.size() == kPart;
}

void SqliteEngine::set_loading(bool loading) {
  Query query(*connection_, loading ? "INSERT OR REPLACE INTO meta(name,value) VALUES(?,1)"
                                    : "DELETE FROM meta WHERE name=?");
  query << std::string_view(kLoading);
  query.run();
  stored_loading_ = loading;
}

void SqliteEngine::set_moved(const std::string& to) {
  Query query(*connection_, "INSERT OR REPLACE INTO meta(name,value) VALUES(?,?)");
  query << std::string_view(kMoved) << std::string_view(to);
  query.run();
  moved_ = to;
}

void SqliteEngine::run(LoadSnapshot* work) {
  work->outcome = Status();
  for (const v1::SnapshotItem& item : work->items) {
    if (item.has_begin() && !stored_loading_ &&
        !(messages_.empty() && mailboxes_.empty() && records_.empty())) {
      work->outcome = Status(IMCTL_FAILED_PRECONDITION,
                             "the storage is not empty: load into a new one, with another db_name "
                             "or uri");
      return;
    }
    load(item);
  }
}

void SqliteEngine::load(const v1::SnapshotItem& item) {
  switch (item.item_case()) {
    case v1::SnapshotItem::kBegin:
      messages_.clear();
      mailboxes_.clear();
      records_.clear();
      set_loading(true);
      break;
    case v1::SnapshotItem::kMessage: {
      pb::CloudEvent message;
      (void)message.ParseFromString(item.message().event());
      const Key key = keys_(message.id());
      messages_.insert(key, unix_ms(item.message().time()), item.message().event());
      break;
    }
    case v1::SnapshotItem::kMailbox: mailboxes_.load(item.mailbox()); break;
    case v1::SnapshotItem::kDelivery: mailboxes_.load(item.delivery()); break;
    case v1::SnapshotItem::kCollection: records_.load(item.collection()); break;
    case v1::SnapshotItem::kRecord: records_.load(item.record()); break;
    case v1::SnapshotItem::kEnd:
      set_loading(false);
      set_moved("");
      break;
    case v1::SnapshotItem::kMoved: set_moved(item.moved().to()); break;
    case v1::SnapshotItem::ITEM_NOT_SET: break;
  }
}

// ---- reading

std::unique_ptr<SqliteEngine::Reader> SqliteEngine::take() {
  {
    std::lock_guard lock(mutex_);
    if (!idle_.empty()) {
      auto reader = std::move(idle_.back());
      idle_.pop_back();
      return reader;
    }
  }
  return std::make_unique<Reader>(options_);
}

void SqliteEngine::give_back(std::unique_ptr<Reader> reader) {
  reader->connection.trim();
  reader->messages.trim();
  std::lock_guard lock(mutex_);
  idle_.push_back(std::move(reader));
}

template <class T>
Result<T> SqliteEngine::read(const std::function<T(Reader&)>& read) {
  std::unique_ptr<Reader> reader;
  try {
    reader = take();
    Query(reader->connection, "BEGIN").run();
    T found = read(*reader);
    Query(reader->connection, "COMMIT").run();
    give_back(std::move(reader));
    return found;
  } catch (const SQLite::Exception& error) {
    // The connection, which may be in the middle of something, goes away.
    return to_status(error, reader != nullptr ? reader->connection.handle() : nullptr,
                     options_.path);
  }
}

Status SqliteEngine::get_messages(std::span<const std::string_view> ids, const Found& found) {
  std::shared_ptr<const Buckets> buckets;
  {
    std::lock_guard lock(mutex_);
    buckets = buckets_;
  }
  const int64_t since = expired();
  std::vector<Key> keys;
  keys.reserve(ids.size());
  for (std::string_view id : ids) keys.push_back(keys_(id));
  // Where each may be, newest first; bucket by bucket, so that a filter is in the processor's cache
  // for all keys.
  struct Place {
    size_t index;  // of the key
    const Bucket* bucket;
    int64_t row;  // 0: as the bucket's index says
  };
  std::vector<Place> maybe;
  const Probes probes(keys);
  for (auto bucket = buckets->rbegin(); bucket != buckets->rend(); ++bucket) {
    if (bucket->newest <= since) break;
    if (bucket->young != nullptr) {
      for (size_t i = 0; i < keys.size(); ++i) {
        const uint32_t row = bucket->young->find(keys[i]);
        if (row != 0) maybe.push_back({i, &*bucket, row});
      }
      continue;
    }
    probes.look(bucket->filter.get(), [&](size_t i) { maybe.push_back({i, &*bucket, 0}); });
  }
  std::stable_sort(maybe.begin(), maybe.end(),
                   [](const Place& a, const Place& b) { return a.index < b.index; });
  auto look = [&](Reader& reader) {
    size_t done = std::numeric_limits<size_t>::max();
    for (const Place& place : maybe) {
      if (place.index == done) continue;
      try {
        const int64_t row =
            place.row != 0 ? place.row : reader.messages.row_of(*place.bucket, keys[place.index]);
        if (row == 0) continue;
        Query query(reader.messages.row(place.bucket->number));
        query << row;
        if (!query.step() || query.number(BucketReader::kTs) <= since) continue;
        done = place.index;
        if (!found(query.blob(BucketReader::kData))) break;
      } catch (const SQLite::Exception& error) {
        // Dropped since the list was taken: it was too old.
        if (!no_such_table(error)) throw;
      }
    }
    return true;
  };
  return read<bool>(look).status();
}

Result<MailboxPage> SqliteEngine::read_mailbox(std::string_view mailbox, uint64_t after,
                                               size_t limit, size_t max_bytes) {
  return read<MailboxPage>([&](Reader& reader) {
    return read_page(reader.connection, mailbox, after, limit, max_bytes);
  });
}

Result<Cursors> SqliteEngine::cursors(std::string_view mailbox) {
  return read<Cursors>([&](Reader& reader) { return read_cursors(reader.connection, mailbox); });
}

Result<std::vector<MailboxState>> SqliteEngine::list_mailboxes(std::string_view prefix,
                                                               std::string_view after,
                                                               size_t limit) {
  return read<std::vector<MailboxState>>(
      [&](Reader& reader) { return read_mailboxes(reader.connection, prefix, after, limit); });
}

Result<std::optional<RecordRow>> SqliteEngine::get_record(std::string_view collection,
                                                          std::string_view key) {
  return read<std::optional<RecordRow>>(
      [&](Reader& reader) { return read_record(reader.connection, collection, key); });
}

Result<RecordPage> SqliteEngine::list_records(const RecordQuery& query) {
  return read<RecordPage>([&](Reader& reader) { return read_records(reader.connection, query); });
}

Result<ChangePage> SqliteEngine::changes(std::string_view collection, uint64_t after, size_t limit,
                                         size_t max_bytes) {
  return read<ChangePage>([&](Reader& reader) {
    return read_changes(reader.connection, collection, after, limit, max_bytes);
  });
}

Result<std::vector<CollectionState>> SqliteEngine::collections() {
  return read<std::vector<CollectionState>>(
      [](Reader& reader) { return read_collections(reader.connection); });
}

Result<std::unique_ptr<SnapshotReader>> SqliteEngine::dump() {
  class Reading final : public SnapshotReader {
   public:
    Reading(std::unique_ptr<Connection> connection, const Options& options, int64_t since)
        : path_(options.path), snapshot_(std::move(connection), options.table, since) {}
    Status next(size_t bytes, std::vector<v1::SnapshotItem>* items) override {
      try {
        snapshot_.next(bytes, items);
        return {};
      } catch (const SQLite::Exception& error) {
        return to_status(error, snapshot_.handle(), path_);
      }
    }
    uint64_t bytes() override {
      try {
        return snapshot_.bytes();
      } catch (const SQLite::Exception&) {
        return 0;  // next() says what it is
      }
    }

   private:
    const std::string path_;
    Snapshot snapshot_;
  };
  try {
    auto connection = std::make_unique<Connection>(options_.path, Connection::Mode::kRead);
    connection->db().exec("BEGIN");
    return std::unique_ptr<SnapshotReader>(
        std::make_unique<Reading>(std::move(connection), options_, expired()));
  } catch (const SQLite::Exception& error) {
    return to_status(error, nullptr, options_.path);
  }
}

}  // namespace imctl::storage
