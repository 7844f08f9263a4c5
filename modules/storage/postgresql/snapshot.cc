#include "snapshot.h"

#include <map>
#include <string>
#include <utility>
#include <vector>

#include "buckets.h"
#include "imctl/storage/v1/mailboxes.pb.h"
#include "mailboxes.h"
#include "records.h"
#include "unix_time.h"

namespace imctl::storage {
namespace {

// Rows that a page has at most.
constexpr int64_t kRows = 1000;

// `inner` with `bytes` of each row: as many rows, by `order`, as $1 bytes take, but at least one.
std::string page_sql(const std::string& columns, const std::string& inner,
                     const std::string& order) {
  return "SELECT " + columns + " FROM (SELECT x.*, sum(bytes) OVER (ORDER BY " + order +
         ") - bytes AS before FROM (" + inner + " ORDER BY " + order + " LIMIT " +
         std::to_string(kRows) + ") x) w WHERE before = 0 OR before < $1::int8 ORDER BY " + order;
}

class Reader : public SnapshotReader {
 public:
  Reader(std::unique_ptr<Connection> connection, std::string server, int64_t expired)
      : connection_(std::move(connection)),
        db_(connection_.get()),
        server_(std::move(server)),
        expired_(expired) {
    // It may stand still for as long as the caller permits.
    db_->query("SELECT set_config('idle_in_transaction_session_timeout', '0', false)");
    db_->query("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY");
    meta_ = meta();
    const Rows rows = db_->query("SELECT bucket FROM buckets ORDER BY first");
    for (size_t i = 0; i < rows.size(); ++i) {
      const int64_t bucket = rows.number(i, 0);
      // Kept from being dropped from here on. One that is gone already had nothing left to show.
      db_->query("SAVEPOINT locking");
      try {
        db_->query("LOCK TABLE " + bodies(bucket) + " IN ACCESS SHARE MODE");
        buckets_.push_back(bucket);
      } catch (const Error& error) {
        if (!error.is(kUndefinedTable)) throw;
        db_->query("ROLLBACK TO SAVEPOINT locking");
      }
      db_->query("RELEASE SAVEPOINT locking");
    }
    start_bucket();
  }

  Status next(size_t bytes, std::vector<v1::SnapshotItem>* items) override {
    items->clear();
    try {
      while (items->empty() && part_ != Part::kEnd) {
        switch (part_) {
          case Part::kMessages: messages(bytes, items); break;
          case Part::kMailboxes: mailboxes(items); break;
          case Part::kDeliveries: deliveries(bytes, items); break;
          case Part::kCollections: collections(items); break;
          case Part::kRecords: records(bytes, items); break;
          case Part::kEnd: break;
        }
      }
      // Names are looked up as they are now, whatever the transaction sees.
      if (meta() != meta_) {
        items->clear();
        return {IMCTL_ABORTED, "what is stored was replaced while it was dumped: dump again"};
      }
    } catch (const Error& error) {
      return to_status(error, server_);
    }
    return {};
  }

  uint64_t bytes() override {
    try {
      return db_
          ->query(
              "SELECT coalesce(sum(pg_table_size(oid)), 0)::int8 FROM pg_class WHERE"
              " relkind = 'r' AND relnamespace = current_schema()::regnamespace")
          .natural(0, 0);
    } catch (const Error&) {
      return 0;  // next() says what it is
    }
  }

 private:
  enum class Part { kMessages, kMailboxes, kDeliveries, kCollections, kRecords, kEnd };

  int64_t meta() { return db_->query("SELECT to_regclass('meta')::oid::int8").number(0, 0); }

  void start_bucket() {
    time_ = expired_;
    n_ = INT64_MAX;
    if (bucket_ == buckets_.size()) part_ = Part::kMailboxes;
  }

  void messages(size_t bytes, std::vector<v1::SnapshotItem>* items) {
    const Rows rows = db_->query(
        page_sql("time, n, data",
                 "SELECT time, n, data, octet_length(data)::int8 AS bytes FROM " +
                     bodies(buckets_[bucket_]) + " WHERE (time, n) > ($2::int8, $3::int8)",
                 "time, n"),
        Params::of(uint64_t{bytes}, time_, n_));
    for (size_t i = 0; i < rows.size(); ++i) {
      time_ = rows.number(i, 0);
      n_ = rows.number(i, 1);
      v1::TemporaryMessage* message = items->emplace_back().mutable_message();
      message->set_event(std::string(rows.bytes(i, 2)));
      *message->mutable_time() = to_timestamp(time_);
    }
    if (rows.empty()) {
      ++bucket_;
      start_bucket();
    }
  }

  void mailboxes(std::vector<v1::SnapshotItem>* items) {
    const Rows rows = db_->query(
        "SELECT m.id, m.name, m.epoch, m.first, m.last, c.device, c.sequence, c.time"
        " FROM (SELECT * FROM mailboxes WHERE name > $1::bytea ORDER BY name LIMIT 200) m"
        " LEFT JOIN cursors c ON c.mailbox = m.id ORDER BY m.name, c.device",
        Params::of(name_));
    v1::SnapshotMailbox* mailbox = nullptr;
    for (size_t i = 0; i < rows.size(); ++i) {
      if (mailbox == nullptr || mailbox->state().mailbox() != rows.bytes(i, 1)) {
        name_ = rows.bytes(i, 1);
        mailbox = items->emplace_back().mutable_mailbox();
        mailbox->mutable_state()->set_mailbox(name_);
        mailbox->mutable_state()->set_epoch(rows.natural(i, 2));
        mailbox->mutable_state()->set_first(rows.natural(i, 3));
        mailbox->mutable_state()->set_last(rows.natural(i, 4));
      }
      if (rows.null(i, 5)) continue;
      v1::Cursor* cursor = mailbox->add_cursors();
      cursor->set_device(std::string(rows.bytes(i, 5)));
      cursor->set_sequence(rows.natural(i, 6));
      *cursor->mutable_time() = to_timestamp(rows.number(i, 7));
    }
    if (rows.empty()) {
      part_ = Part::kDeliveries;
      n_ = INT64_MIN;
    }
  }

  void deliveries(size_t bytes, std::vector<v1::SnapshotItem>* items) {
    const Rows rows =
        db_->query(page_sql("n, time, places, data",
                            "SELECT n, time, places, data,"
                            " (octet_length(data) + octet_length(places))::int8 AS bytes"
                            " FROM deliveries WHERE n > $2::int8",
                            "n"),
                   Params::of(uint64_t{bytes}, n_));
    std::vector<v1::AppendResponse> places(rows.size());
    Array names(Type::kBytes);
    for (size_t i = 0; i < rows.size(); ++i) {
      const std::string_view packed = rows.bytes(i, 2);
      places[i].ParseFromArray(packed.data(), static_cast<int>(packed.size()));
      for (const v1::Position& place : places[i].positions()) names.add(place.mailbox());
    }
    const std::map<std::string, Mailbox> there = mailboxes_of(std::move(names));
    for (size_t i = 0; i < rows.size(); ++i) {
      n_ = rows.number(i, 0);
      v1::Delivery delivery;
      for (v1::Position& place : *places[i].mutable_positions()) {
        auto mailbox = there.find(place.mailbox());
        if (mailbox == there.end() || mailbox->second.epoch != place.epoch() ||
            place.sequence() < mailbox->second.first) {
          continue;
        }
        *delivery.add_positions() = std::move(place);
      }
      // A message that is in no mailbox any more is as good as gone.
      if (delivery.positions().empty()) continue;
      delivery.set_message(std::string(rows.bytes(i, 3)));
      *delivery.mutable_time() = to_timestamp(rows.number(i, 1));
      *items->emplace_back().mutable_delivery() = std::move(delivery);
    }
    if (rows.empty()) part_ = Part::kCollections;
  }

  struct Mailbox {
    uint64_t epoch = 0;
    uint64_t first = 0;
  };
  std::map<std::string, Mailbox> mailboxes_of(Array names) {
    std::map<std::string, Mailbox> found;
    if (names.empty()) return found;
    const Rows rows =
        db_->query("SELECT name, epoch, first FROM mailboxes WHERE name = ANY ($1::bytea[])",
                   Params::of(std::move(names)));
    for (size_t i = 0; i < rows.size(); ++i) {
      found[std::string(rows.bytes(i, 0))] = {rows.natural(i, 1), rows.natural(i, 2)};
    }
    return found;
  }

  void collections(std::vector<v1::SnapshotItem>* items) {
    const Rows rows =
        db_->query("SELECT id, name, revision FROM collections WHERE revision > 0 ORDER BY name");
    for (size_t i = 0; i < rows.size(); ++i) {
      v1::SnapshotCollection* collection = items->emplace_back().mutable_collection();
      collection->set_collection(std::string(rows.bytes(i, 1)));
      collection->set_revision(rows.natural(i, 2));
      collections_.emplace_back(rows.number(i, 0), std::string(rows.bytes(i, 1)));
    }
    name_.clear();
    part_ = Part::kRecords;
  }

  void records(size_t bytes, std::vector<v1::SnapshotItem>* items) {
    if (collection_ == collections_.size()) {
      part_ = Part::kEnd;
      return;
    }
    const auto& [id, collection] = collections_[collection_];
    const Rows rows =
        db_->query(page_sql("key, revision, indexes, value",
                            "SELECT key, revision, indexes, value,"
                            " (octet_length(value) + octet_length(indexes))::int8 AS bytes"
                            " FROM records WHERE collection = $2::int8 AND key > $3::bytea",
                            "key"),
                   Params::of(uint64_t{bytes}, id, name_));
    for (size_t i = 0; i < rows.size(); ++i) {
      name_ = rows.bytes(i, 0);
      v1::SnapshotRecord* record = items->emplace_back().mutable_record();
      record->set_collection(collection);
      record->mutable_record()->set_key(name_);
      record->mutable_record()->set_revision(rows.natural(i, 1));
      record->mutable_record()->set_value(std::string(rows.bytes(i, 3)));
      for (const RecordIndex& index : unpack_indexes(rows.bytes(i, 2))) {
        v1::IndexEntry* entry = record->mutable_record()->add_indexes();
        entry->set_name(index.name);
        entry->set_value(index.value);
      }
    }
    if (rows.empty()) {
      ++collection_;
      name_.clear();
    }
  }

  const std::unique_ptr<Connection> connection_;
  Connection* const db_;
  const std::string server_;
  const int64_t expired_;
  int64_t meta_ = 0;  // which tables these are
  Part part_ = Part::kMessages;
  std::vector<int64_t> buckets_;
  std::vector<std::pair<int64_t, std::string>> collections_;
  // Where it stands: in which of these,
  size_t bucket_ = 0;
  size_t collection_ = 0;
  // and after which row.
  int64_t time_ = 0;
  int64_t n_ = 0;
  std::string name_;
};

}  // namespace

std::unique_ptr<SnapshotReader> open_snapshot(std::unique_ptr<Connection> connection,
                                              std::string server, int64_t expired) {
  return std::make_unique<Reader>(std::move(connection), std::move(server), expired);
}

}  // namespace imctl::storage
