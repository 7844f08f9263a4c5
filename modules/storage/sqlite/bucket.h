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

// The index of a full bucket: its keys with their rows, in chunks by their first byte.
class Index {
 public:
  static constexpr size_t kChunks = 256;
  // What that of a bucket with Filter::kKeys keys takes.
  static constexpr size_t kBytes = Filter::kKeys * 20 + kChunks * sizeof(std::string);

  Index() : chunks_(kChunks) {}
  // Of entries that are sorted by key, with no key twice.
  explicit Index(std::span<const KeyRow> entries);

  // 0: it is not there.
  uint32_t find(const Key& key) const { return find_in(chunks_[chunk_of(key)], key); }

  // As they are stored; one may be empty.
  std::string& chunk(size_t number) { return chunks_[number]; }
  static size_t chunk_of(const Key& key) { return static_cast<unsigned char>(key.bytes[0]); }
  static uint32_t find_in(std::string_view chunk, const Key& key);

 private:
  std::vector<std::string> chunks_;
};

struct Bucket {
  int64_t number = 0;  // never given twice while there are readers
  int64_t first = 0;   // Unix time of the oldest message, in ms
  int64_t newest = 0;  // and of the newest; INT64_MAX for readers while it is written
  // Of the one that is written; it has no index and no filter yet.
  std::shared_ptr<Young> young;
  // Of one that is full, as far as there is memory for them. No filter: the index has to be asked;
  // no index: the table has to be read.
  std::shared_ptr<const Filter> filter;
  std::shared_ptr<const Index> index;
};

// All buckets, oldest first. Readers take it before they begin their transaction: what was
// committed before is in it.
using Buckets = std::vector<Bucket>;

// The table of a bucket, as it stands in SQL.
std::string body_table(const std::string& log, int64_t bucket);

// Rows of a full bucket that are no messages: the chunks of its index, and its filter.
constexpr int64_t kIndexRow = int64_t{1} << 17;
constexpr int64_t kFilterRow = kIndexRow + static_cast<int64_t>(Index::kChunks);
static_assert(kIndexRow > static_cast<int64_t>(Filter::kKeys));

// Looks into buckets by a connection; not for use from several threads. Throws SQLite::Exception.
class BucketReader {
 public:
  BucketReader(Connection* connection, std::string log)
      : connection_(connection), log_(std::move(log)) {}

  // Of a full bucket; 0: it is not there.
  int64_t row_of(const Bucket& bucket, const Key& key);
  // None if what is stored is not one that this code knows: nothing is lost but time.
  std::shared_ptr<const Filter> filter(int64_t bucket);
  std::shared_ptr<const Index> index(int64_t bucket);
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
