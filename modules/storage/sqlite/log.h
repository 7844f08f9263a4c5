// A log of messages that can be found by key and that grow old together.
//
// What makes a store of random keys slow is not the disk but the index: each new key dirties
// another page of it, the more the larger it is. So a log is cut into buckets, and the keys of the
// one that is written are in memory and, in the order in which they come, in a small table; only
// when it is full, or spans a sixteenth of the retention period, they are sorted once and written
// as its index. All that a commit writes is at the end of two tables. From then on the bucket is
// only read; a Bloom filter in memory says which buckets a key is not in. What is too old goes by
// dropping whole buckets.
//
//   <name>_<bucket>(row, ts, d, p)   row: 1, 2, 3, ... in order of time; ts: when stored, Unix time
//                                    in ms; d: the message; p: whatever belongs to it.
//                                    From row kIndexRow on: d is a chunk of the index; kFilterRow:
//                                    d is the filter
//   <name>_young(row, keys)          of the bucket that is written: keys of `row` and those after
//   it buckets(log, bucket, first, newest, last, removed)   last: the last message's row if it is
//   full,
//                                    else 0; removed: so many messages
//
// A message that is removed leaves its key in the index: what is not in its row is not there.
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
#include <vector>

#include "bucket.h"
#include "connection.h"
#include "key.h"
#include "key_table.h"

namespace imctl::storage {

// A stored message as it is found.
struct Stored {
  Location at;
  int64_t ts = 0;
  std::string data;
  std::string extra;
};

// The one that writes. One thread; everything but published() inside a transaction and throwing
// SQLite::Exception.
class Log {
 public:
  struct Options {
    std::string name;                   // of the tables
    std::chrono::milliseconds span{0};  // of a bucket; 0: only its size counts
    size_t index_memory = 0;
  };

  Log(Connection* connection, Options options);

  // Reads what the file says: at the start, and after a transaction that failed.
  void reload();

  // The messages with these keys that were stored after `since`, as far as they are there.
  std::vector<std::optional<Stored>> find(std::span<const Key> keys, int64_t since);
  // Stores a message under a key that find() did not find.
  Location insert(const Key& key, int64_t ts, std::string_view data, std::string_view extra = {});
  std::optional<Stored> at(const Location& location);
  void remove(const Location& location);

  // Writes the keys of what was inserted. To be called before a commit.
  void flush();
  // For readers; to be called after a commit, and without a transaction.
  std::shared_ptr<const Buckets> published();
  bool empty() const { return all_.empty(); }

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
  void read_young();
  void start_bucket(int64_t ts);
  void seal();
  void remember();
  SQLite::Statement& insert_statement();

  Connection* const connection_;
  const Options options_;
  const std::string young_table_;
  BucketReader reader_;
  std::deque<Bucket> all_;  // oldest first; the last is written
  int64_t last_number_ = 0;
  int64_t next_row_ = 1;  // in the last bucket
  SQLite::Statement* insert_ = nullptr;
  std::vector<KeyRow> pending_;  // inserted in this transaction, in order
  KeyTable pending_rows_;
  std::shared_ptr<const Buckets> published_;  // null: all_ has changed since
};

}  // namespace imctl::storage

#endif  // IMCTL_STORAGE_SQLITE_LOG_H
