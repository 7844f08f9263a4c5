// A bucket of a log, as those see it who look for something: see log.h.
#ifndef IMCTL_STORAGE_SQLITE_BUCKET_H
#define IMCTL_STORAGE_SQLITE_BUCKET_H

#include <cstddef>
#include <cstdint>
#include <memory>
#include <mutex>
#include <shared_mutex>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "connection.h"
#include "filter.h"
#include "key.h"
#include "key_table.h"

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

// Rows of a full bucket that are no messages: its index, and after it its filter.
constexpr size_t kChunks = 256;
constexpr int64_t kIndexRow = int64_t{1} << 17;
constexpr int64_t kFilterRow = kIndexRow + static_cast<int64_t>(kChunks);
static_assert(kIndexRow > static_cast<int64_t>(Filter::kKeys));

// The keys of a bucket that is written, as far as they are committed. A row is never given twice,
// so what is found before a read transaction begins is right in it.
class Young {
 public:
  // 0: it is not there. From any thread.
  uint32_t find(const Key& key) const {
    std::shared_lock lock(mutex_);
    return table_.find(key);
  }
  void add(std::span<const KeyRow> entries) {
    std::unique_lock lock(mutex_);
    for (const KeyRow& entry : entries) table_.put(entry.key, entry.row);
  }
  std::vector<KeyRow> entries() const {
    std::shared_lock lock(mutex_);
    return table_.entries();
  }

 private:
  mutable std::shared_mutex mutex_;
  KeyTable table_;  // guarded by mutex_
};

struct Bucket {
  int64_t number = 0;  // never given twice while there are readers
  int64_t first = 0;   // Unix time of the oldest message, in ms
  int64_t newest = 0;  // and of the newest; INT64_MAX for readers while it is written
  // Of the one that is written; it has no index and no filter yet.
  std::shared_ptr<Young> young;
  // Of one that is full. None: there was no memory for it, so the index has to be asked.
  std::shared_ptr<const Filter> filter;
};

// All buckets, oldest first. Readers take it before they begin their transaction: what was
// committed before is in it.
using Buckets = std::vector<Bucket>;

// The table of a bucket, as it stands in SQL.
std::string body_table(const std::string& log, int64_t bucket);

// The index of a full bucket: its keys by their first byte, each with its row.
inline size_t chunk_of(const Key& key) { return static_cast<unsigned char>(key.bytes[0]); }
// Each chunk's row; `entries` are sorted by key, with no key twice. Empty: none has that byte.
std::vector<std::string> index_chunks(std::span<const KeyRow> entries);
uint32_t find_in_chunk(std::string_view chunk, const Key& key);

// Looks into buckets by a connection; not for use from several threads. Throws SQLite::Exception.
class BucketReader {
 public:
  BucketReader(Connection* connection, std::string log)
      : connection_(connection), log_(std::move(log)) {}

  // By the index of a full bucket; 0: it is not there.
  int64_t row_of(int64_t bucket, const Key& key);
  // Of a full bucket. None if it is not one that this code knows: nothing is lost but time.
  std::shared_ptr<const Filter> filter(int64_t bucket);
  // For a Query with a row as its parameter: columns kTs, kData, kExtra.
  SQLite::Statement& row(int64_t bucket);
  enum Column { kTs, kData, kExtra };

  // For when no statement is in use: forgets one that is dropped, or all if they are very many.
  void forget(int64_t bucket) { statements_.erase(bucket); }
  void trim();

 private:
  Connection* const connection_;
  const std::string log_;
  std::unordered_map<int64_t, std::unique_ptr<SQLite::Statement>> statements_;  // by bucket
};

}  // namespace imctl::storage

#endif  // IMCTL_STORAGE_SQLITE_BUCKET_H
