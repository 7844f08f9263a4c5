#include "load.h"

#include <algorithm>
#include <deque>
#include <map>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "imctl/storage/v1/mailboxes.pb.h"
#include "mailboxes.h"
#include "message.h"
#include "messages.h"
#include "records.h"
#include "unix_time.h"

namespace imctl::storage {
namespace {

Refused damaged(const std::string& what) {
  return Refused({IMCTL_INVALID_ARGUMENT, "the dump has " + what + " that cannot be read"});
}

template <class Message>
Message parse(const std::string& bytes, const char* what) {
  Message message;
  if (!message.ParseFromString(bytes)) throw damaged(what);
  return message;
}

// Removes what another load left. Nobody else writes.
void empty(Connection* db) {
  db->queue(
      "TRUNCATE ids, mailboxes, deliveries, entries, cursors, removals, collections, records,"
      " indexes, changes");
  const Rows rows = db->query("SELECT bucket FROM buckets");
  std::vector<BodyPlace> all;
  for (size_t i = 0; i < rows.size(); ++i) all.push_back({rows.number(i, 0), 0, 0});
  db->queue("DELETE FROM buckets");
  for (const BodyPlace& place : all) db->queue("DROP TABLE " + bodies(place.bucket));
  db->run();
}

void begin(Transaction* txn, const std::string& channel, uint64_t* load) {
  Connection* db = txn->db;
  db->query("BEGIN");
  db->query(exclude_statement());
  const Rows rows = db->query(
      "SELECT loading, EXISTS (SELECT 1 FROM ids WHERE time > $1::int8)"
      " OR EXISTS (SELECT 1 FROM mailboxes) OR EXISTS (SELECT 1 FROM collections WHERE revision > "
      "0)"
      " FROM meta",
      Params::of(txn->expired()));
  if (rows.number(0, 0) == 0 && rows.number(0, 1) != 0) {
    throw Refused({IMCTL_FAILED_PRECONDITION,
                   "the storage is not empty: load into a new one, or remove what is in it first"});
  }
  empty(db);
  *load = db->query("UPDATE meta SET loading = true, load = load + 1 RETURNING load").natural(0, 0);
  txn->notices.add_all();
  txn->notices.queue(db, channel);
  db->query("COMMIT");
}

class Part {
 public:
  Part(Transaction* txn, const LoadSnapshot& work) : txn_(txn), db_(txn->db), work_(work) {}

  // What needs transactions of its own.
  void prepare(Buckets* buckets) {
    for (const v1::SnapshotItem& item : work_.items) {
      if (!item.has_message()) continue;
      const int64_t time = unix_ms(item.message().time());
      // Tables are made once for each bucket: those that are past keep nothing.
      if (time <= txn_->expired()) continue;
      Bucket bucket = buckets->at(db_, time, txn_->database->bucket_ms);
      ids_.push_back(parse<pb::CloudEvent>(item.message().event(), "a message").id());
      auto& [place, messages] = messages_[bucket.number];
      place = bucket;
      messages.push_back({ids_.back(), item.message().event(), time});
    }
  }

  void write() {
    for (const auto& [number, bucket] : messages_) {
      load_messages(txn_, bucket.first, bucket.second);
    }
    mailboxes();
    deliveries();
    collections();
    records();
  }

 private:
  void mailboxes() {
    Array names(Type::kBytes);
    Array epochs(Type::kInt8);
    Array firsts(Type::kInt8);
    Array lasts(Type::kInt8);
    std::map<std::string_view, const v1::SnapshotMailbox*> with_cursors;
    for (const v1::SnapshotItem& item : work_.items) {
      if (!item.has_mailbox()) continue;
      const v1::MailboxState& state = item.mailbox().state();
      names.add(state.mailbox());
      epochs.add(uint64_t{state.epoch()});
      firsts.add(uint64_t{state.first()});
      lasts.add(uint64_t{state.last()});
      with_cursors[state.mailbox()] = &item.mailbox();
    }
    if (names.empty()) return;
    const Rows rows = db_->query(
        "INSERT INTO mailboxes (name, epoch, first, last) SELECT unnest($1::bytea[]),"
        " unnest($2::int8[]), unnest($3::int8[]), unnest($4::int8[]) RETURNING name, id",
        Params::of(std::move(names), std::move(epochs), std::move(firsts), std::move(lasts)));
    Array ids(Type::kInt8);
    Array devices(Type::kBytes);
    Array sequences(Type::kInt8);
    Array times(Type::kInt8);
    for (size_t i = 0; i < rows.size(); ++i) {
      for (const v1::Cursor& cursor : with_cursors.at(rows.bytes(i, 0))->cursors()) {
        ids.add(rows.number(i, 1));
        devices.add(cursor.device());
        sequences.add(uint64_t{cursor.sequence()});
        times.add(unix_ms(cursor.time()));
      }
    }
    db_->queue(
        "INSERT INTO cursors (mailbox, device, sequence, time) SELECT unnest($1::int8[]),"
        " unnest($2::bytea[]), unnest($3::int8[]), unnest($4::int8[])",
        Params::of(std::move(ids), std::move(devices), std::move(sequences), std::move(times)));
  }

  struct Mailbox {
    int64_t id;
    uint64_t epoch;
    uint64_t first;
  };
  std::map<std::string, Mailbox> find_mailboxes() {
    std::set<std::string_view> names;
    for (const v1::SnapshotItem& item : work_.items) {
      for (const v1::Position& place : item.delivery().positions()) names.insert(place.mailbox());
    }
    Array array(Type::kBytes);
    for (std::string_view name : names) array.add(name);
    const Rows rows =
        db_->query("SELECT name, id, epoch, first FROM mailboxes WHERE name = ANY ($1::bytea[])",
                   Params::of(std::move(array)));
    std::map<std::string, Mailbox> found;
    for (size_t i = 0; i < rows.size(); ++i) {
      found[std::string(rows.bytes(i, 0))] = {rows.number(i, 1), rows.natural(i, 2),
                                              rows.natural(i, 3)};
    }
    return found;
  }

  void deliveries() {
    const bool any = std::any_of(work_.items.begin(), work_.items.end(),
                                 [](const auto& item) { return item.has_delivery(); });
    if (!any) return;
    const auto mailboxes = find_mailboxes();
    Array ns(Type::kInt8);
    Array times(Type::kInt8);
    Array keys(Type::kUuid);
    Array counts(Type::kInt8);
    Array places(Type::kBytes);
    Array data(Type::kBytes);
    Array entry_mailboxes(Type::kInt8);
    Array entry_sequences(Type::kInt8);
    Array entry_ns(Type::kInt8);
    for (const v1::SnapshotItem& item : work_.items) {
      if (!item.has_delivery()) continue;
      const v1::Delivery& delivery = item.delivery();
      const int64_t n = txn_->numbers->take(db_, 1);
      int64_t entries = 0;
      v1::AppendResponse answer;
      *answer.mutable_positions() = delivery.positions();
      for (const v1::Position& place : delivery.positions()) {
        auto mailbox = mailboxes.find(place.mailbox());
        if (mailbox == mailboxes.end() || mailbox->second.epoch != place.epoch() ||
            place.sequence() < mailbox->second.first) {
          continue;
        }
        ++entries;
        entry_mailboxes.add(mailbox->second.id);
        entry_sequences.add(uint64_t{place.sequence()});
        entry_ns.add(n);
      }
      // In no mailbox any more.
      if (entries == 0) continue;
      ns.add(n);
      times.add(unix_ms(delivery.time()));
      keys.add(txn_->key(delivery_key(parse<v1::Message>(delivery.message(), "a message").event()))
                   .view());
      counts.add(entries);
      places.add(answer.SerializeAsString());
      data.add(delivery.message());
    }
    db_->queue(
        "INSERT INTO deliveries (n, time, key, entries, places, data)"
        " SELECT unnest($1::int8[]), unnest($2::int8[]), unnest($3::uuid[]),"
        " unnest($4::int8[])::int4, unnest($5::bytea[]), unnest($6::bytea[])",
        Params::of(std::move(ns), std::move(times), std::move(keys), std::move(counts),
                   std::move(places), std::move(data)));
    db_->queue(
        "INSERT INTO entries (mailbox, sequence, n) SELECT unnest($1::int8[]),"
        " unnest($2::int8[]), unnest($3::int8[])",
        Params::of(std::move(entry_mailboxes), std::move(entry_sequences), std::move(entry_ns)));
  }

  void collections() {
    Array names(Type::kBytes);
    Array revisions(Type::kInt8);
    for (const v1::SnapshotItem& item : work_.items) {
      if (!item.has_collection()) continue;
      names.add(item.collection().collection());
      revisions.add(uint64_t{item.collection().revision()});
    }
    if (names.empty()) return;
    // Changes from before are not known here.
    const std::string array = std::move(revisions).take();
    db_->queue(
        "INSERT INTO collections (name, revision, compacted) SELECT unnest($1::bytea[]),"
        " unnest($2::int8[]), unnest($2::int8[])",
        Params::of(std::move(names), array));
  }

  void records() {
    Array owners(Type::kBytes);
    Array keys(Type::kBytes);
    Array revisions(Type::kInt8);
    Array indexes(Type::kBytes);
    Array values(Type::kBytes);
    Array index_owners(Type::kBytes);
    Array index_names(Type::kBytes);
    Array index_values(Type::kBytes);
    Array index_keys(Type::kBytes);
    for (const v1::SnapshotItem& item : work_.items) {
      if (!item.has_record()) continue;
      const v1::Record& record = item.record().record();
      owners.add(item.record().collection());
      keys.add(record.key());
      revisions.add(uint64_t{record.revision()});
      values.add(record.value());
      std::vector<RecordIndex> entries;
      for (const v1::IndexEntry& entry : record.indexes()) {
        entries.push_back({entry.name(), entry.value()});
        index_owners.add(item.record().collection());
        index_names.add(entry.name());
        index_values.add(entry.value());
        index_keys.add(record.key());
      }
      indexes.add(pack_indexes(entries));
    }
    if (owners.empty()) return;
    db_->queue(
        "INSERT INTO records (collection, key, revision, indexes, value)"
        " SELECT c.id, t.key, t.revision, t.indexes, t.value FROM unnest($1::bytea[],"
        " $2::bytea[], $3::int8[], $4::bytea[], $5::bytea[])"
        " AS t (name, key, revision, indexes, value) JOIN collections c ON c.name = t.name",
        Params::of(std::move(owners), std::move(keys), std::move(revisions), std::move(indexes),
                   std::move(values)));
    db_->queue(
        "INSERT INTO indexes (collection, name, value, key)"
        " SELECT c.id, t.name, t.value, t.key FROM unnest($1::bytea[], $2::bytea[],"
        " $3::bytea[], $4::bytea[]) AS t (owner, name, value, key)"
        " JOIN collections c ON c.name = t.owner ON CONFLICT DO NOTHING",
        Params::of(std::move(index_owners), std::move(index_names), std::move(index_values),
                   std::move(index_keys)));
  }

  Transaction* const txn_;
  Connection* const db_;
  const LoadSnapshot& work_;
  // By bucket.
  std::map<int64_t, std::pair<Bucket, std::vector<StoredMessage>>> messages_;
  std::deque<std::string> ids_;  // theirs
};

// Later epochs are larger.
void end_load(Connection* db) {
  db->queue(
      "SELECT setval('epochs', greatest((SELECT last_value FROM epochs),"
      " (SELECT coalesce(max(epoch), 0) FROM mailboxes)))");
}

bool ends(const LoadSnapshot& work) { return !work.items.empty() && work.items.back().has_end(); }

}  // namespace

bool load_part(Transaction* txn, Buckets* buckets, const std::string& channel, LoadSnapshot* work,
               uint64_t* load) {
  Connection* db = txn->db;
  for (const v1::SnapshotItem& item : work->items) {
    if (item.has_begin()) begin(txn, channel, load);
  }
  buckets->forget();
  Part part(txn, *work);
  part.prepare(buckets);
  db->query("BEGIN");
  const Rows rows = db->query("SELECT loading, load FROM meta FOR UPDATE");
  if (rows.number(0, 0) == 0 || rows.natural(0, 1) != *load) {
    throw Refused({IMCTL_FAILED_PRECONDITION,
                   "another load was begun meanwhile: what this one wrote is removed"});
  }
  part.write();
  if (ends(*work)) {
    end_load(db);
    db->queue("UPDATE meta SET loading = false, moved = ''");
    txn->notices.add_all();
  }
  txn->notices.queue(db, channel);
  db->query("COMMIT");
  return !ends(*work);
}

Replacement::Replacement(std::unique_ptr<Connection> connection, std::string schema)
    : connection_(std::move(connection)), schema_(std::move(schema)) {
  // It may stand still for as long as the caller takes.
  connection_->query("SELECT set_config('idle_in_transaction_session_timeout', '0', false)");
  remove_replaced(connection_.get(), schema_);  // there is room for one only
  connection_->query("BEGIN");
  connection_->query(exclude_statement());
  if (connection_->query("SELECT loading FROM meta").number(0, 0) != 0) {
    throw Refused({IMCTL_FAILED_PRECONDITION,
                   "a load did not come to its end, so there is nothing to replace: load without "
                   "`replace`"});
  }
  connection_->query("SAVEPOINT excluded");
  stage(connection_.get(), schema_, read_database(connection_.get(), schema_));
}

void Replacement::move(const std::string& to) {
  // Those who write stay excluded until the end of the transaction.
  connection_->query("ROLLBACK TO SAVEPOINT excluded");
  connection_->query("UPDATE meta SET moved = $1::bytea", Params::of(to));
  committing_ = true;
  connection_->query("COMMIT");
  committing_ = false;
}

bool Replacement::load(Transaction txn, const std::string& channel, const LoadSnapshot& work) {
  Connection* db = connection_.get();
  txn.db = db;
  Part part(&txn, work);
  part.prepare(&buckets_);
  part.write();
  if (!ends(work)) {
    db->run();
    return false;
  }
  end_load(db);
  db->run();
  put_in_place(db, schema_);
  txn.notices.add_all();
  txn.notices.queue(db, channel);
  committing_ = true;
  db->query("COMMIT");
  committing_ = false;
  return true;
}

}  // namespace imctl::storage
