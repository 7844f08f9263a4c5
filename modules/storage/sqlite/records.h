// The tables of records, at work.
//
//   collections(id, name, revision, compacted)
//   records(collection, key, revision, value, indexes)   indexes: the entries, to remove them by
//   record_index(collection, name, value, key)
//   record_changes(collection, revision, key, deleted)   of revisions after `compacted`
#ifndef IMCTL_STORAGE_SQLITE_RECORDS_H
#define IMCTL_STORAGE_SQLITE_RECORDS_H

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "connection.h"
#include "engine.h"

namespace imctl::storage {

// The one that writes. One thread; everything inside a transaction and throwing SQLite::Exception.
class Records {
 public:
  Records(Connection* connection, uint64_t history);

  // All or nothing: conditions are looked at before anything is written.
  void commit(CommitRecords* work);

  // Of a load.
  void load(const v1::SnapshotCollection& collection);
  void load(const v1::SnapshotRecord& record);
  void clear();
  bool empty();

 private:
  struct Collection {
    int64_t id = 0;  // 0: there is none
    uint64_t revision = 0;
    uint64_t compacted = 0;
  };

  Collection find(std::string_view name);
  Collection create(std::string_view name, uint64_t revision);
  Status check(const RecordWrite& write);
  uint64_t write_one(const RecordWrite& write);
  void store(int64_t collection, std::string_view key, uint64_t revision, std::string_view value,
             const std::vector<RecordIndex>& indexes);
  void erase(int64_t collection, std::string_view key);

  Connection* const connection_;
  const uint64_t history_;
};

// Reading. Inside a transaction.
std::optional<RecordRow> read_record(Connection& connection, std::string_view collection,
                                     std::string_view key);
RecordPage read_records(Connection& connection, const RecordQuery& query);
ChangePage read_changes(Connection& connection, std::string_view collection, uint64_t after,
                        size_t limit, size_t max_bytes);
std::vector<CollectionState> read_collections(Connection& connection);

// Index entries as they are kept with their record.
std::string pack_indexes(const std::vector<RecordIndex>& indexes);
std::vector<RecordIndex> unpack_indexes(std::string_view bytes);

}  // namespace imctl::storage

#endif  // IMCTL_STORAGE_SQLITE_RECORDS_H
