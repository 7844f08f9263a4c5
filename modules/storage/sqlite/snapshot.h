// Everything at one moment, for a dump: a read transaction on a connection of its own.
#ifndef IMCTL_STORAGE_SQLITE_SNAPSHOT_H
#define IMCTL_STORAGE_SQLITE_SNAPSHOT_H

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "connection.h"
#include "engine.h"

namespace imctl::storage {

// `connection` is in a read transaction. Messages stored at or before `since` are left out. Throws
// SQLite::Exception.
class Snapshot {
 public:
  Snapshot(std::unique_ptr<Connection> connection, std::string messages, int64_t since);

  // See SnapshotReader::next().
  void next(size_t bytes, std::vector<v1::SnapshotItem>* items);
  // About how many bytes all items are.
  uint64_t bytes();
  sqlite3* handle() { return connection_->handle(); }

 private:
  enum class Part { kMessages, kMailboxes, kDeliveries, kCollections, kRecords, kEnd };

  // A few items of the part; none: that was all of it.
  void step(std::vector<v1::SnapshotItem>* items, size_t* left);
  void messages(std::vector<v1::SnapshotItem>* items, size_t* left);
  void mailboxes(std::vector<v1::SnapshotItem>* items, size_t* left);
  void deliveries(std::vector<v1::SnapshotItem>* items, size_t* left);
  void collections(std::vector<v1::SnapshotItem>* items);
  void records(std::vector<v1::SnapshotItem>* items, size_t* left);
  std::vector<int64_t> buckets(const std::string& log);
  bool next_bucket();

  std::unique_ptr<Connection> connection_;
  const std::string messages_;
  const int64_t since_;
  Part part_ = Part::kMessages;
  // Where the part stands.
  std::vector<int64_t> buckets_;
  size_t bucket_ = 0;
  int64_t row_ = 0;
  std::string after_;
};

}  // namespace imctl::storage

#endif  // IMCTL_STORAGE_SQLITE_SNAPSHOT_H
