#include "log.h"

#include <algorithm>
#include <limits>
#include <unordered_map>
#include <utility>

namespace imctl::storage {

Log::Log(Connection* connection, Options options)
    : connection_(connection),
      options_(std::move(options)),
      young_table_("\"" + options_.name + "_young\""),
      reader_(connection, options_.name) {}

void Log::reload() {
  pending_.clear();
  pending_rows_.clear();
  insert_ = nullptr;
  published_ = nullptr;
  std::unordered_map<int64_t, Bucket> known;
  for (Bucket& bucket : all_) known[bucket.number] = std::move(bucket);
  all_.clear();
  connection_->db().exec("CREATE TABLE IF NOT EXISTS " + young_table_ +
                         "(row INTEGER PRIMARY KEY, keys BLOB NOT NULL)");
  Query query(*connection_,
              "SELECT bucket,first,newest,last FROM buckets WHERE log=? ORDER BY bucket");
  query << options_.name;
  while (query.step()) {
    Bucket bucket{query.number(0), query.number(1), query.number(2), nullptr, nullptr, nullptr};
    if (auto have = known.find(bucket.number); have != known.end() && query.number(3) != 0) {
      bucket.filter = std::move(have->second.filter);
      bucket.index = std::move(have->second.index);
    }
    last_number_ = std::max(last_number_, bucket.number);
    all_.push_back(std::move(bucket));
  }
  next_row_ = 1;
  if (!all_.empty()) read_young();
  remember();
}

// The keys of the bucket that is written.
void Log::read_young() {
  Bucket& last = all_.back();
  last.young = std::make_shared<Young>();
  std::vector<KeyRow> entries;
  {
    Query query(*connection_, "SELECT row,keys FROM " + young_table_ + " ORDER BY row");
    while (query.step()) {
      uint32_t row = static_cast<uint32_t>(query.number(0));
      const std::string_view keys = query.blob(1);
      KeyRow entry;
      for (size_t at = 0; at + entry.key.bytes.size() <= keys.size();
           at += entry.key.bytes.size(), ++row) {
        keys.copy(entry.key.bytes.data(), entry.key.bytes.size(), at);
        entry.row = row;
        entries.push_back(entry);
      }
    }
  }
  last.young->add(entries);
  // Also rows whose message was removed are not given again.
  if (!entries.empty()) next_row_ = int64_t{entries.back().row} + 1;
  Query query(*connection_, "SELECT ts FROM " + body_table(options_.name, last.number) +
                                " ORDER BY row DESC LIMIT 1");
  if (query.step()) last.newest = std::max(last.newest, query.number(0));
}

std::shared_ptr<const Buckets> Log::published() {
  if (!all_.empty()) all_.back().young->add(pending_);
  pending_.clear();
  pending_rows_.clear();
  reader_.trim();
  if (published_ == nullptr) {
    auto copy = std::make_shared<Buckets>(all_.begin(), all_.end());
    if (!copy->empty()) copy->back().newest = std::numeric_limits<int64_t>::max();
    published_ = std::move(copy);
  }
  return published_;
}

// Has of the full buckets in memory what index_memory allows: filters first, since they spare most,
// and of the newest buckets, which are asked most.
void Log::remember() {
  size_t left = options_.index_memory;
  auto each = [&](size_t size, const auto& have) {
    for (auto bucket = all_.rbegin(); bucket != all_.rend(); ++bucket) {
      if (bucket->young != nullptr) continue;
      have(*bucket, left >= size);
      if (left >= size) left -= size;
    }
  };
  each(Filter::size(), [this](Bucket& bucket, bool fits) {
    if (!fits) {
      bucket.filter = nullptr;
    } else if (bucket.filter == nullptr) {
      bucket.filter = reader_.filter(bucket.number);
    }
  });
  each(Index::kBytes, [this](Bucket& bucket, bool fits) {
    if (!fits) {
      bucket.index = nullptr;
    } else if (bucket.index == nullptr) {
      bucket.index = reader_.index(bucket.number);
    }
  });
  published_ = nullptr;
}

void Log::start_bucket(int64_t ts) {
  const int64_t number = ++last_number_;
  connection_->db().exec(
      "CREATE TABLE " + body_table(options_.name, number) +
      "(row INTEGER PRIMARY KEY, ts INTEGER NOT NULL, d BLOB NOT NULL, p BLOB NOT NULL)");
  Query query(*connection_,
              "INSERT INTO buckets(log,bucket,first,newest,last,removed) VALUES(?,?,?,?,0,0)");
  query << options_.name << number << ts << ts;
  query.run();
  all_.push_back({number, ts, ts, std::make_shared<Young>(), nullptr, nullptr});
  next_row_ = 1;
  insert_ = nullptr;
  published_ = nullptr;
}

// Ends the bucket that is written: from now on it has an index and a filter.
void Log::seal() {
  Bucket& last = all_.back();
  std::vector<KeyRow> entries = last.young->entries();
  entries.insert(entries.end(), pending_.begin(), pending_.end());
  // Of those that have the same key all but the newest were removed.
  std::sort(entries.begin(), entries.end(), [](const KeyRow& a, const KeyRow& b) {
    const int order = a.key.view().compare(b.key.view());
    return order != 0 ? order < 0 : a.row > b.row;
  });
  entries.erase(std::unique(entries.begin(), entries.end(),
                            [](const KeyRow& a, const KeyRow& b) { return a.key == b.key; }),
                entries.end());
  auto filter = std::make_shared<Filter>();
  for (const KeyRow& entry : entries) filter->add(Filter::Probe(entry.key));
  auto index = std::make_shared<Index>(entries);
  auto store = [&](int64_t row, std::string_view data) {
    Query query(insert_statement());
    query << row << 0 << data << std::string_view();
    query.run();
  };
  for (size_t i = 0; i < Index::kChunks; ++i) {
    const std::string& chunk = index->chunk(i);
    if (!chunk.empty()) store(kIndexRow + static_cast<int64_t>(i), chunk);
  }
  store(kFilterRow, filter->bytes());
  connection_->db().exec("DELETE FROM " + young_table_);
  Query query(*connection_, "UPDATE buckets SET newest=?,last=? WHERE log=? AND bucket=?");
  query << last.newest << next_row_ - 1 << options_.name << last.number;
  query.run();
  pending_.clear();
  pending_rows_.clear();
  last.young = nullptr;
  last.filter = std::move(filter);
  last.index = std::move(index);
  remember();
}

std::optional<Stored> Log::at(const Location& location) {
  Query query(reader_.row(location.bucket));
  query << location.row;
  if (!query.step()) return std::nullopt;
  return Stored{location, query.number(BucketReader::kTs), query.text(BucketReader::kData),
                query.text(BucketReader::kExtra)};
}

std::vector<std::optional<Stored>> Log::find(std::span<const Key> keys, int64_t since) {
  std::vector<std::optional<Stored>> found(keys.size());
  auto look = [&](size_t i, const Bucket& bucket, int64_t row) {
    if (row == 0) return;
    found[i] = at({bucket.number, row});
    if (found[i] && found[i]->ts <= since) found[i].reset();
  };
  const Probes probes(keys);
  // Bucket by bucket, so that its filter is in the processor's cache for all keys.
  for (auto bucket = all_.rbegin(); bucket != all_.rend(); ++bucket) {
    if (bucket->newest <= since) break;
    if (bucket->young != nullptr) {
      for (size_t i = 0; i < keys.size(); ++i) {
        const uint32_t pending = pending_rows_.find(keys[i]);
        look(i, *bucket, pending != 0 ? pending : bucket->young->find(keys[i]));
      }
      continue;
    }
    probes.look(bucket->filter.get(), [&](size_t i) {
      if (!found[i]) look(i, *bucket, reader_.row_of(*bucket, keys[i]));
    });
  }
  return found;
}

SQLite::Statement& Log::insert_statement() {
  if (insert_ == nullptr) {
    insert_ =
        &connection_->statement("INSERT INTO " + body_table(options_.name, all_.back().number) +
                                "(row,ts,d,p) VALUES(?,?,?,?)");
  }
  return *insert_;
}

Location Log::insert(const Key& key, int64_t ts, std::string_view data, std::string_view extra) {
  const bool full = !all_.empty() && next_row_ > static_cast<int64_t>(Filter::kKeys);
  const bool old =
      !all_.empty() && options_.span.count() > 0 && ts - all_.back().first >= options_.span.count();
  if (full || old) seal();
  if (all_.empty() || full || old) start_bucket(ts);
  Bucket& bucket = all_.back();
  const int64_t row = next_row_++;
  {
    Query query(insert_statement());
    query << row << ts << data << extra;
    query.run();
  }
  bucket.newest = std::max(bucket.newest, ts);
  pending_.push_back({key, static_cast<uint32_t>(row)});
  pending_rows_.put(key, static_cast<uint32_t>(row));
  return {bucket.number, row};
}

void Log::flush() {
  if (pending_.empty()) return;
  std::string keys;
  for (const KeyRow& entry : pending_) keys += entry.key.view();
  Query query(*connection_, "INSERT INTO " + young_table_ + "(row,keys) VALUES(?,?)");
  query << int64_t{pending_.front().row} << keys;
  query.run();
}

void Log::remove(const Location& location) {
  {
    Query query(*connection_,
                "DELETE FROM " + body_table(options_.name, location.bucket) + " WHERE row=?");
    query << location.row;
    if (query.run() == 0) return;
  }
  Query query(*connection_, "UPDATE buckets SET removed=removed+1 WHERE log=? AND bucket=?");
  query << options_.name << location.bucket;
  query.run();
}

std::optional<int64_t> Log::oldest_expired(int64_t before) const {
  if (all_.empty() || all_.front().newest > before) return std::nullopt;
  return all_.front().number;
}

uint64_t Log::drop_oldest() {
  const int64_t number = all_.front().number;
  const std::string body = body_table(options_.name, number);
  const bool written = all_.size() == 1;
  int64_t count = 0;
  {
    Query query(*connection_, "SELECT last-removed FROM buckets WHERE log=? AND bucket=?");
    query << options_.name << number;
    if (query.step()) count = query.number(0) + (written ? next_row_ - 1 : 0);
  }
  connection_->forget(body);
  reader_.forget(number);
  connection_->db().exec("DROP TABLE " + body);
  if (written) {
    connection_->db().exec("DELETE FROM " + young_table_);
    pending_.clear();
    pending_rows_.clear();
  }
  Query query(*connection_, "DELETE FROM buckets WHERE log=? AND bucket=?");
  query << options_.name << number;
  query.run();
  all_.pop_front();
  insert_ = nullptr;
  published_ = nullptr;
  return static_cast<uint64_t>(count);
}

std::vector<Stored> Log::oldest(int64_t before, int64_t after, size_t limit) {
  std::vector<Stored> found;
  if (all_.empty()) return found;
  const int64_t number = all_.front().number;
  Query query(*connection_, "SELECT row,ts,d,p FROM " + body_table(options_.name, number) +
                                " WHERE row>? AND row<? ORDER BY row");
  query << after << kIndexRow;
  while (found.size() < limit && query.step() && query.number(1) <= before) {
    found.push_back({{number, query.number(0)}, query.number(1), query.text(2), query.text(3)});
  }
  return found;
}

void Log::clear() {
  while (!all_.empty()) drop_oldest();
}

}  // namespace imctl::storage
