#include "messages.h"

#include <algorithm>
#include <numeric>
#include <string>
#include <unordered_map>

#include "message.h"

namespace imctl::storage {
namespace {

// What one statement carries at most, about. The server works on one while the next is made.
constexpr size_t kStatementRows = 2000;
constexpr size_t kStatementBytes = size_t{1} << 20U;

// A body to be written.
struct Body {
  Key key;
  int64_t time = 0;
  int64_t n = 0;
  std::string_view data;
};

// Rows of `ids` for new messages, in the order of keys: hosts that write the same ones wait for
// each other and not in a circle, and the index is walked in one direction.
void queue_ids(Connection* db, const Bucket& bucket, const std::vector<Body>& rows) {
  std::vector<uint32_t> order(rows.size());
  std::iota(order.begin(), order.end(), 0U);
  std::sort(order.begin(), order.end(),
            [&](uint32_t a, uint32_t b) { return rows[a].key < rows[b].key; });
  for (size_t at = 0; at < order.size();) {
    Array keys(Type::kUuid);
    Array times(Type::kInt8);
    Array ns(Type::kInt8);
    Array sizes(Type::kInt8);
    for (; at < order.size() && keys.count() < kStatementRows; ++at) {
      const Body& row = rows[order[at]];
      keys.add(row.key.view());
      times.add(row.time);
      ns.add(row.n);
      sizes.add(uint64_t{row.data.size()});
    }
    db->queue(
        "INSERT INTO ids (key, time, n, bucket, size) SELECT unnest($1::uuid[]), "
        "unnest($2::int8[]),"
        " unnest($3::int8[]), $4::int8::int4, unnest($5::int8[])::int4",
        Params::of(std::move(keys), std::move(times), std::move(ns), bucket.number,
                   std::move(sizes)));
  }
}

void queue_bodies(Connection* db, const Bucket& bucket, const std::vector<Body>& rows) {
  for (size_t at = 0; at < rows.size();) {
    Array keys(Type::kUuid);
    Array times(Type::kInt8);
    Array ns(Type::kInt8);
    Array data(Type::kBytes);
    for (; at < rows.size() && keys.count() < kStatementRows && data.size() < kStatementBytes;
         ++at) {
      keys.add(rows[at].key.view());
      times.add(rows[at].time);
      ns.add(rows[at].n);
      data.add(rows[at].data);
    }
    db->queue("INSERT INTO " + bodies(bucket.number) +
                  " (time, n, key, data) SELECT unnest($1::int8[]), unnest($2::int8[]),"
                  " unnest($3::uuid[]), unnest($4::bytea[])",
              Params::of(std::move(times), std::move(ns), std::move(keys), std::move(data)));
  }
}

void queue_delete_bodies(Connection* db, const std::vector<BodyPlace>& places) {
  const auto there = existing_buckets(db, places);
  std::map<int64_t, std::pair<Array, Array>> by_bucket;
  for (const BodyPlace& place : places) {
    if (!there.contains(place.bucket)) continue;
    auto& [times, ns] =
        by_bucket
            .try_emplace(place.bucket, std::piecewise_construct, std::forward_as_tuple(Type::kInt8),
                         std::forward_as_tuple(Type::kInt8))
            .first->second;
    times.add(place.time);
    ns.add(place.n);
  }
  for (auto& [bucket, arrays] : by_bucket) {
    db->queue("DELETE FROM " + bodies(bucket) +
                  " b USING unnest($1::int8[], $2::int8[]) AS t (time, n)"
                  " WHERE b.time = t.time AND b.n = t.n",
              Params::of(std::move(arrays.first), std::move(arrays.second)));
  }
}

// Bodies by their n.
using Bodies = std::unordered_map<int64_t, std::string>;

void fetch(Connection* db, int64_t bucket, const std::vector<BodyPlace>& places, Bodies* to) {
  Array times(Type::kInt8);
  Array ns(Type::kInt8);
  for (const BodyPlace& place : places) {
    times.add(place.time);
    ns.add(place.n);
  }
  const Rows rows = db->query(
      "SELECT b.n, b.data FROM unnest($1::int8[], $2::int8[]) AS t (time, n)"
      " JOIN " +
          bodies(bucket) + " b ON b.time = t.time AND b.n = t.n",
      Params::of(std::move(times), std::move(ns)));
  for (size_t i = 0; i < rows.size(); ++i) to->emplace(rows.number(i, 0), rows.bytes(i, 1));
}

std::map<int64_t, std::vector<BodyPlace>> by_bucket(const std::vector<BodyPlace>& places) {
  std::map<int64_t, std::vector<BodyPlace>> sorted;
  for (const BodyPlace& place : places) sorted[place.bucket].push_back(place);
  return sorted;
}

// ---- storing what may be there already

class CarefulPut {
 public:
  CarefulPut(Transaction* txn, const Bucket& bucket, std::span<PutMessages* const> works)
      : txn_(txn), db_(txn->db), bucket_(bucket), works_(works) {}

  void run() {
    for (PutMessages* work : works_) {
      for (const PutMessages::Item& item : work->items) {
        known_.try_emplace(txn_->key(item.id));
      }
    }
    claim();
    while (!claimed_all()) claim();
    read_what_is_there();
    decide();
    write();
  }

 private:
  struct Known {
    bool claimed = false;   // there is a row of ids, and it is ours
    bool found = false;     // it was there before
    bool there = false;     // the message is, as far as we got
    BodyPlace place;        // if found
    std::string_view data;  // if there
    bool to_write = false;
  };

  // Makes rows of ids for what has none, and locks those that are there.
  void claim() {
    std::vector<Key> keys;
    for (const auto& [key, known] : known_) {
      if (!known.claimed) keys.push_back(key);
    }
    std::sort(keys.begin(), keys.end());
    for (size_t at = 0; at < keys.size();) {
      Array some(Type::kUuid);
      for (; at < keys.size() && some.count() < kStatementRows; ++at) some.add(keys[at].view());
      std::string array = std::move(some).take();
      const Rows made = db_->query(
          "INSERT INTO ids (key, time, n, bucket, size)"
          " SELECT unnest($1::uuid[]), 0, 0, 0, 0 ON CONFLICT (key) DO NOTHING RETURNING key",
          Params::of(array));
      for (size_t i = 0; i < made.size(); ++i) known_[Key::from(made.bytes(i, 0))].claimed = true;
      const Rows found = db_->query(
          "SELECT key, time, n, bucket FROM ids WHERE key = ANY ($1::uuid[]) ORDER BY key FOR "
          "UPDATE",
          Params::of(std::move(array)));
      for (size_t i = 0; i < found.size(); ++i) {
        Known& known = known_[Key::from(found.bytes(i, 0))];
        if (known.claimed) continue;
        known.claimed = known.found = true;
        known.place = {found.number(i, 3), found.number(i, 1), found.number(i, 2)};
      }
    }
  }
  // What another host deleted in between is not.
  bool claimed_all() const {
    return std::all_of(known_.begin(), known_.end(),
                       [](const auto& it) { return it.second.claimed; });
  }

  void read_what_is_there() {
    std::vector<BodyPlace> places;
    for (const auto& [key, known] : known_) {
      if (known.found && known.place.time > txn_->expired()) places.push_back(known.place);
    }
    const auto there = existing_buckets(db_, places);
    for (const auto& [bucket, some] : by_bucket(places)) {
      if (there.contains(bucket)) fetch(db_, bucket, some, &stored_);
    }
    for (auto& [key, known] : known_) {
      if (!known.found || known.place.time <= txn_->expired()) continue;
      auto body = stored_.find(known.place.n);
      if (body == stored_.end()) continue;
      known.there = true;
      known.data = body->second;
    }
  }

  void decide() {
    for (PutMessages* work : works_) {
      work->stored = 0;
      for (const PutMessages::Item& item : work->items) {
        Known& known = known_[txn_->key(item.id)];
        if (known.there) {
          if (!same_message(known.data, item.data)) break;
        } else {
          known.there = known.to_write = true;
          known.data = item.data;
        }
        ++work->stored;
      }
    }
  }

  void write() {
    std::vector<Body> rows;
    std::vector<BodyPlace> old;
    Array unused(Type::kUuid);
    for (auto& [key, known] : known_) {
      if (known.to_write) {
        rows.push_back({key, txn_->now, txn_->numbers->take(db_, 1), known.data});
        if (known.found) old.push_back(known.place);
      } else if (!known.found) {
        unused.add(key.view());
      }
    }
    if (!unused.empty()) {
      db_->queue("DELETE FROM ids WHERE key = ANY ($1::uuid[])", Params::of(std::move(unused)));
    }
    if (!old.empty()) queue_delete_bodies(db_, old);
    for (size_t at = 0; at < rows.size();) {
      Array keys(Type::kUuid);
      Array ns(Type::kInt8);
      Array sizes(Type::kInt8);
      for (; at < rows.size() && keys.count() < kStatementRows; ++at) {
        keys.add(rows[at].key.view());
        ns.add(rows[at].n);
        sizes.add(uint64_t{rows[at].data.size()});
      }
      db_->queue(
          "UPDATE ids SET time = $1::int8, n = t.n, bucket = $2::int8::int4, size = t.size::int4"
          " FROM unnest($3::uuid[], $4::int8[], $5::int8[]) AS t (key, n, size)"
          " WHERE ids.key = t.key",
          Params::of(txn_->now, bucket_.number, std::move(keys), std::move(ns), std::move(sizes)));
    }
    queue_bodies(db_, bucket_, rows);
  }

  Transaction* const txn_;
  Connection* const db_;
  const Bucket& bucket_;
  const std::span<PutMessages* const> works_;
  std::unordered_map<Key, Known, KeyHash> known_;
  Bodies stored_;
};

bool all_differ(const std::vector<Body>& rows) {
  std::vector<Key> keys;
  keys.reserve(rows.size());
  for (const Body& row : rows) keys.push_back(row.key);
  std::sort(keys.begin(), keys.end());
  return std::adjacent_find(keys.begin(), keys.end()) == keys.end();
}

}  // namespace

void put_messages(Transaction* txn, const Bucket& bucket, std::span<PutMessages* const> works) {
  std::vector<Body> rows;
  for (PutMessages* work : works) {
    for (const PutMessages::Item& item : work->items) {
      rows.push_back({txn->key(item.id), txn->now, 0, item.data});
    }
  }
  if (txn->careful || !all_differ(rows)) {
    CarefulPut(txn, bucket, works).run();
    return;
  }
  for (Body& row : rows) row.n = txn->numbers->take(txn->db, 1);
  queue_ids(txn->db, bucket, rows);
  queue_bodies(txn->db, bucket, rows);
  for (PutMessages* work : works) work->stored = work->items.size();
}

void load_messages(Transaction* txn, const Bucket& bucket,
                   std::span<const StoredMessage> messages) {
  std::vector<Body> rows;
  for (const StoredMessage& message : messages) {
    rows.push_back(
        {txn->key(message.id), message.time, txn->numbers->take(txn->db, 1), message.data});
  }
  queue_ids(txn->db, bucket, rows);
  queue_bodies(txn->db, bucket, rows);
}

void delete_messages(Transaction* txn, std::span<DeleteMessages* const> works) {
  std::unordered_map<Key, DeleteMessages*, KeyHash> first;
  std::vector<Key> keys;
  for (DeleteMessages* work : works) {
    work->deleted = 0;
    for (const std::string& id : work->ids) {
      Key key = txn->key(id);
      if (first.emplace(key, work).second) keys.push_back(key);
    }
  }
  std::sort(keys.begin(), keys.end());
  std::vector<BodyPlace> places;
  for (size_t at = 0; at < keys.size();) {
    Array some(Type::kUuid);
    for (; at < keys.size() && some.count() < kStatementRows; ++at) some.add(keys[at].view());
    const Rows gone = txn->db->query(
        "DELETE FROM ids WHERE key = ANY ($1::uuid[]) AND time > $2::int8"
        " RETURNING key, time, n, bucket",
        Params::of(std::move(some), txn->expired()));
    for (size_t i = 0; i < gone.size(); ++i) {
      ++first[Key::from(gone.bytes(i, 0))]->deleted;
      places.push_back({gone.number(i, 3), gone.number(i, 1), gone.number(i, 2)});
    }
  }
  if (!places.empty()) queue_delete_bodies(txn->db, places);
}

// ---- reading

namespace {

// How much is fetched before `found` is asked whether it wants more.
constexpr uint64_t kFetchBytes = uint64_t{4} << 20U;

struct Asked {
  bool there = false;
  BodyPlace place;
  uint64_t size = 0;
};

void fetch_all(Connection* db, const std::vector<BodyPlace>& places, Bodies* to) {
  for (const auto& [bucket, some] : by_bucket(places)) {
    try {
      fetch(db, bucket, some, to);
    } catch (const Error& error) {
      // Dropped meanwhile: all in it was past its retention period.
      if (!error.is(kUndefinedTable)) throw;
    }
  }
}

}  // namespace

void get_messages(Connection* db, std::string_view secret, int64_t expired,
                  std::span<const std::string_view> ids, const Engine::Found& found) {
  std::vector<Key> keys;
  std::unordered_map<Key, Asked, KeyHash> asked;
  Array array(Type::kUuid);
  for (std::string_view id : ids) {
    keys.push_back(make_key(secret, id));
    if (asked.try_emplace(keys.back()).second) array.add(keys.back().view());
  }
  const Rows rows = db->query(
      "SELECT key, time, n, bucket, size FROM ids WHERE key = ANY ($1::uuid[]) AND time > $2::int8",
      Params::of(std::move(array), expired));
  for (size_t i = 0; i < rows.size(); ++i) {
    asked[Key::from(rows.bytes(i, 0))] = {
        true, {rows.number(i, 3), rows.number(i, 1), rows.number(i, 2)}, rows.natural(i, 4)};
  }
  for (size_t at = 0; at < keys.size();) {
    std::vector<BodyPlace> places;
    uint64_t bytes = 0;
    size_t end = at;
    for (; end < keys.size() && bytes < kFetchBytes; ++end) {
      const Asked& one = asked[keys[end]];
      if (!one.there) continue;
      places.push_back(one.place);
      bytes += one.size;
    }
    Bodies data;
    fetch_all(db, places, &data);
    for (; at < end; ++at) {
      const Asked& one = asked[keys[at]];
      if (!one.there) continue;
      auto body = data.find(one.place.n);
      if (body != data.end() && !found(body->second)) return;
    }
  }
}

}  // namespace imctl::storage
