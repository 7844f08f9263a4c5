// Records, their index entries, and the log of their changes. Who writes locks the collection's row
// until the commit, those of several collections in the order of their names; so revisions are in
// the order of commits.
#ifndef IMCTL_STORAGE_POSTGRESQL_RECORDS_H
#define IMCTL_STORAGE_POSTGRESQL_RECORDS_H

#include <optional>
#include <span>
#include <string_view>
#include <vector>

#include "transaction.h"

namespace imctl::storage {

void commit_records(Transaction* txn, std::span<CommitRecords* const> works);

std::optional<RecordRow> get_record(Connection* db, std::string_view collection,
                                    std::string_view key);
RecordPage list_records(Connection* db, const RecordQuery& query);
ChangePage read_changes(Connection* db, std::string_view collection, uint64_t after, size_t limit,
                        size_t max_bytes);
std::vector<CollectionState> read_collections(Connection* db);

// How a record's index entries are stored with it.
std::string pack_indexes(const std::vector<RecordIndex>& indexes);
std::vector<RecordIndex> unpack_indexes(std::string_view bytes);

}  // namespace imctl::storage

#endif  // IMCTL_STORAGE_POSTGRESQL_RECORDS_H
