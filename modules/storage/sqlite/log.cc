#include "log.h"

#include <algorithm>
#include <limits>
#include <utility>

namespace imctl::storage {
namespace {

std::string quoted(const std::string& name) { return "\"" + name + "\""; }

}  // namespace

std::string body_table(const std::string& log, int64_t bucket) {
  return quoted(log + "_" + std::to_string(bucket));
}

std::string key_table(const std::string& log, int64_t bucket) {
  return quoted(log + "_" + std::to_string(bucket) + "_keys");
}

Log::Log(Connection* connection, Options options)
    : connection_(connection), options_(std::move(options)) {}

void Log::reload() {
  pending_.clear();
  pending_rows_.clear();
  insert_ = nullptr;
  // Filters are good as they are: what they have too much costs only time.
  std::unordered_map<int64_t, std::shared_ptr<Filter>> known;
  for (Bucket& bucket : all_) known[bucket.number] = std::move(bucket.filter);
  all_.clear();
  {
    Query query(*connection_,
                "SELECT bucket,first,newest,filter FROM buckets WHERE log=? ORDER BY bucket");
    query << options_.name;
    while (query.step()) {
      Bucket bucket{query.number(0), query.number(1), query.number(2), nullptr};
      if (auto found = known.find(bucket.number); found != known.end()) {
        bucket.filter = found->second;
      } else if (Filter::valid(query.blob(3))) {
        bucket.filter = std::make_shared<Filter>(query.blob(3));
      }
      all_.push_back(std::move(bucket));
    }
  }
  next_row_ = 1;
  if (all_.empty()) return;
  Bucket& last = all_.back();
  const std::string body = body_table(options_.name, last.number);
  {
    Query query(*connection_, "SELECT row,ts FROM " + body + " ORDER BY row DESC LIMIT 1");
    if (query.step()) {
      next_row_ = query.number(0) + 1;
      last.newest = query.number(1);
    }
  }
  if (last.filter == nullptr) {
    last.filter = std::make_shared<Filter>();
    Query query(*connection_, "SELECT k FROM " + key_table(options_.name, last.number));
    while (query.step()) {
      Key key;
      std::string_view bytes = query.blob(0);
      bytes.copy(key.bytes.data(), key.bytes.size());
      last.filter->add(key);
    }
  }
  bound_filters();
}

std::shared_ptr<const Buckets> Log::buckets() const {
  auto copy = std::make_shared<Buckets>(all_.begin(), all_.end());
  if (!copy->empty()) copy->back().newest = std::numeric_limits<int64_t>::max();
  return copy;
}

// The newest are asked most: those before go without.
void Log::bound_filters() {
  size_t left = std::max<size_t>(options_.filter_memory / Filter::size(), 1);
  for (auto bucket = all_.rbegin(); bucket != all_.rend(); ++bucket) {
    if (bucket->filter == nullptr) continue;
    if (left == 0) {
      bucket->filter = nullptr;
    } else {
      --left;
    }
  }
}

void Log::start_bucket(int64_t ts) {
  const int64_t number = all_.empty() ? 1 : all_.back().number + 1;
  connection_->db().exec(
      "CREATE TABLE " + body_table(options_.name, number) +
      "(row INTEGER PRIMARY KEY, ts INTEGER NOT NULL, d BLOB NOT NULL, p BLOB NOT NULL)");
  connection_->db().exec("CREATE TABLE " + key_table(options_.name, number) +
                         "(k BLOB PRIMARY KEY, row INTEGER NOT NULL) WITHOUT ROWID");
  Query query(*connection_, "INSERT INTO buckets(log,bucket,first,newest) VALUES(?,?,?,?)");
  query << options_.name << number << ts << ts;
  query.run();
  all_.push_back({number, ts, ts, std::make_shared<Filter>()});
  next_row_ = 1;
  insert_ = nullptr;
  bound_filters();
}

void Log::seal() {
  flush();
  const Bucket& last = all_.back();
  const std::string filter = last.filter->bytes();
  Query query(*connection_, "UPDATE buckets SET newest=?,filter=? WHERE log=? AND bucket=?");
  query << last.newest << filter << options_.name << last.number;
  query.run();
}

std::optional<Stored> Log::find_in(const Bucket& bucket, const Key& key, int64_t since) {
  int64_t row = 0;
  if (auto pending = pending_rows_.find(key);
      pending != pending_rows_.end() && bucket.number == all_.back().number) {
    row = pending->second;
  } else {
    Query query(*connection_,
                "SELECT row FROM " + key_table(options_.name, bucket.number) + " WHERE k=?");
    query << key.view();
    if (!query.step()) return std::nullopt;
    row = query.number(0);
  }
  std::optional<Stored> found = at({bucket.number, row});
  if (found && found->ts <= since) return std::nullopt;
  return found;
}

std::optional<Stored> Log::at(const Location& location) {
  Query query(*connection_,
              "SELECT ts,d,p FROM " + body_table(options_.name, location.bucket) + " WHERE row=?");
  query << location.row;
  if (!query.step()) return std::nullopt;
  return Stored{location, query.number(0), query.text(1), query.text(2)};
}

std::vector<std::optional<Stored>> Log::find(std::span<const Key> keys, int64_t since) {
  std::vector<std::optional<Stored>> found(keys.size());
  // Bucket by bucket, so that its filter is in the processor's cache for all keys.
  for (auto bucket = all_.rbegin(); bucket != all_.rend(); ++bucket) {
    if (bucket->newest <= since) break;
    for (size_t i = 0; i < keys.size(); ++i) {
      if (found[i] || (bucket->filter != nullptr && !bucket->filter->may_have(keys[i]))) continue;
      found[i] = find_in(*bucket, keys[i], since);
    }
  }
  return found;
}

Location Log::insert(const Key& key, int64_t ts, std::string_view data, std::string_view extra) {
  const bool full = !all_.empty() && next_row_ > static_cast<int64_t>(Filter::kKeys);
  const bool old =
      !all_.empty() && options_.span.count() > 0 && ts - all_.back().first >= options_.span.count();
  if (full || old) seal();
  if (all_.empty() || full || old) start_bucket(ts);
  Bucket& bucket = all_.back();
  const int64_t row = next_row_++;
  if (insert_ == nullptr) {
    insert_ = &connection_->statement("INSERT INTO " + body_table(options_.name, bucket.number) +
                                      "(row,ts,d,p) VALUES(?,?,?,?)");
  }
  {
    Query query(*insert_);
    query << row << ts << data << extra;
    query.run();
  }
  bucket.newest = std::max(bucket.newest, ts);
  bucket.filter->add(key);
  pending_.push_back({key, row});
  pending_rows_[key] = row;
  return {bucket.number, row};
}

void Log::flush() {
  if (pending_.empty()) return;
  std::sort(pending_.begin(), pending_.end(),
            [](const Pending& a, const Pending& b) { return a.key < b.key; });
  SQLite::Statement& statement = connection_->statement(
      "INSERT INTO " + key_table(options_.name, all_.back().number) + "(k,row) VALUES(?,?)");
  for (const Pending& entry : pending_) {
    Query query(statement);
    query << entry.key.view() << entry.row;
    query.run();
  }
  pending_.clear();
  pending_rows_.clear();
}

void Log::remove(const Key& key, const Location& location) {
  flush();
  {
    Query query(*connection_, "DELETE FROM " + key_table(options_.name, location.bucket) +
                                  " WHERE k=? AND row=?");
    query << key.view() << location.row;
    query.run();
  }
  Query query(*connection_,
              "DELETE FROM " + body_table(options_.name, location.bucket) + " WHERE row=?");
  query << location.row;
  query.run();
}

std::optional<int64_t> Log::oldest_expired(int64_t before) const {
  if (all_.empty() || all_.front().newest > before) return std::nullopt;
  return all_.front().number;
}

uint64_t Log::drop_oldest() {
  flush();
  const int64_t number = all_.front().number;
  const std::string body = body_table(options_.name, number);
  const std::string keys = key_table(options_.name, number);
  uint64_t count = 0;
  {
    Query query(*connection_, "SELECT count(*) FROM " + keys);
    query.step();
    count = query.count(0);
  }
  connection_->forget(body);
  connection_->forget(keys);
  connection_->db().exec("DROP TABLE " + keys);
  connection_->db().exec("DROP TABLE " + body);
  Query query(*connection_, "DELETE FROM buckets WHERE log=? AND bucket=?");
  query << options_.name << number;
  query.run();
  all_.pop_front();
  insert_ = nullptr;
  return count;
}

std::vector<Stored> Log::oldest(int64_t before, int64_t after, size_t limit) {
  std::vector<Stored> found;
  if (all_.empty()) return found;
  flush();
  const int64_t number = all_.front().number;
  Query query(*connection_, "SELECT row,ts,d,p FROM " + body_table(options_.name, number) +
                                " WHERE row>? ORDER BY row");
  query << after;
  while (found.size() < limit && query.step() && query.number(1) <= before) {
    found.push_back({{number, query.number(0)}, query.number(1), query.text(2), query.text(3)});
  }
  return found;
}

void Log::clear() {
  while (!all_.empty()) drop_oldest();
}

}  // namespace imctl::storage
