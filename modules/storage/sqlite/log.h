// A log of messages that can be found by key and that grow old together.
//
// What makes a store of random keys slow is not the disk but the index: each new key dirties
// another page of it, the more the larger it is. So a log is cut into buckets, each with a small
// index of its own that stays in the cache while it is written. When a bucket is full, or spans a
// sixteenth of the retention period, the next one begins, and it is only read from then on; a Bloom
// filter in memory says which buckets a key is not in. What is too old goes by dropping the tables
// of whole buckets.
//
//   <name>_<bucket>(row, ts, d, p)    row: 1, 2, 3, ... in order of time; ts: when stored, Unix
//   time
//                                     in ms; d: the message; p: whatever belongs to it
//   <name>_<bucket>_keys(k, row)      by key
//   buckets(log, bucket, first, newest, filter)   filter: of one that is full
#ifndef IMCTL_STORAGE_SQLITE_LOG_H
#define IMCTL_STORAGE_SQLITE_LOG_H

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "connection.h"
#include "filter.h"
#include "key.h"

namespace imctl::storage {

// Where a message is.
struct Location {
  static constexpr unsigned kRowBits = 20;
  int64_t bucket = 0;
  int64_t row = 0;

  int64_t packed() const { return bucket << kRowBits | row; }
  static Location unpack(int64_t packed) {
    return {packed >> kRowBits, packed & ((int64_t{1} << kRowBits) - 1)};
  }
};

struct Bucket {
  int64_t number = 0;
  int64_t first = 0;   // Unix time of the oldest message, in ms
  int64_t newest = 0;  // and of the newest; INT64_MAX for readers while it is written
  // None: there was no memory for it, so the index has to be asked.
  std::shared_ptr<Filter> filter;
};

// All buckets, oldest first. Readers take it before they begin their transaction: what was
// committed before is in it.
using Buckets = std::vector<Bucket>;

// The tables of a bucket, as they stand in SQL.
std::string body_table(const std::string& log, int64_t bucket);
std::string key_table(const std::string& log, int64_t bucket);

// A stored message as it is found.
struct Stored {
  Location at;
  int64_t ts = 0;
  std::string data;
  std::string extra;
};

// The one that writes. One thread; everything inside a transaction and throwing SQLite::Exception.
class Log {
 public:
  struct Options {
    std::string name;                   // of the tables
    std::chrono::milliseconds span{0};  // of a bucket; 0: only its size counts
    size_t filter_memory = 0;
  };

  Log(Connection* connection, Options options);

  // Reads what the file says: at the start, and after a transaction that failed.
  void reload();
  // For readers; after a commit.
  std::shared_ptr<const Buckets> buckets() const;

  // The messages with these keys that were stored after `since`, as far as they are there.
  std::vector<std::optional<Stored>> find(std::span<const Key> keys, int64_t since);
  // Stores a message under a key that find() did not find.
  Location insert(const Key& key, int64_t ts, std::string_view data, std::string_view extra = {});
  std::optional<Stored> at(const Location& location);
  void remove(const Key& key, const Location& location);

  // The index entries of what was inserted are written together, in the order of their keys. To be
  // called before a commit.
  void flush();

  // The oldest bucket, if all in it was stored at or before `before`.
  std::optional<int64_t> oldest_expired(int64_t before) const;
  // Drops the oldest bucket; gives how many messages were in it.
  uint64_t drop_oldest();
  // Of the oldest bucket: at most `limit` messages, stored at or before `before`, after row
  // `after`.
  std::vector<Stored> oldest(int64_t before, int64_t after, size_t limit);
  // Everything goes.
  void clear();

 private:
  struct Pending {
    Key key;
    int64_t row;
  };

  void start_bucket(int64_t ts);
  void seal();
  void bound_filters();
  std::optional<Stored> find_in(const Bucket& bucket, const Key& key, int64_t since);

  Connection* const connection_;
  const Options options_;
  std::deque<Bucket> all_;  // oldest first; the last is written
  int64_t next_row_ = 1;    // in it
  SQLite::Statement* insert_ = nullptr;
  std::vector<Pending> pending_;
  std::unordered_map<Key, int64_t, KeyHash> pending_rows_;
};

}  // namespace imctl::storage

#endif  // IMCTL_STORAGE_SQLITE_LOG_H
