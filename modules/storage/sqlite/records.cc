#include "records.h"

#include <algorithm>
#include <utility>

#include "names.h"
#include "wire.h"

namespace imctl::storage {
namespace {

const char kIdOf[] = "(SELECT id FROM collections WHERE name=?)";

RecordRow to_row(std::string key, Query& query, bool with_value) {
  RecordRow row;
  row.key = std::move(key);
  row.revision = query.count(1);
  row.indexes = unpack_indexes(query.blob(2));
  if (with_value) row.value = query.text(3);
  return row;
}

size_t size_of(const RecordRow& row) {
  size_t size = kEntryOverhead + row.key.size() + row.value.size();
  for (const RecordIndex& index : row.indexes) {
    size += index.name.size() + index.value.size() + kEntryOverhead / 4;
  }
  return size;
}

CollectionState state_of(Connection& connection, std::string_view name) {
  Query query(connection, "SELECT revision,compacted FROM collections WHERE name=?");
  query << name;
  if (!query.step()) return {std::string(name), 0, 0};
  return {std::string(name), query.count(0), query.count(1)};
}

}  // namespace

// An entry is two length-delimited fields.
std::string pack_indexes(const std::vector<RecordIndex>& indexes) {
  std::string bytes;
  for (const RecordIndex& index : indexes) {
    wire::append_bytes(&bytes, 1, index.name);
    wire::append_bytes(&bytes, 2, index.value);
  }
  return bytes;
}

std::vector<RecordIndex> unpack_indexes(std::string_view bytes) {
  std::vector<RecordIndex> indexes;
  wire::for_each_bytes(bytes, [&](int field, std::string_view text) {
    if (field == 1) {
      indexes.push_back({std::string(text), {}});
    } else if (!indexes.empty()) {
      indexes.back().value = text;
    }
    return true;
  });
  return indexes;
}

Records::Records(Connection* connection, uint64_t history)
    : connection_(connection), history_(history) {}

Records::Collection Records::find(std::string_view name) {
  Query query(*connection_, "SELECT id,revision,compacted FROM collections WHERE name=?");
  query << name;
  if (!query.step()) return {};
  return {query.number(0), query.count(1), query.count(2)};
}

Records::Collection Records::create(std::string_view name, uint64_t revision) {
  Query query(*connection_, "INSERT INTO collections(name,revision,compacted) VALUES(?,?,?)");
  query << name << revision << revision;
  query.run();
  return {connection_->db().getLastInsertRowid(), revision, revision};
}

Status Records::check(const RecordWrite& write) {
  const auto named = [&] {
    return "record \"" + write.key + "\" in collection " + write.collection;
  };
  uint64_t revision = 0;
  {
    Query query(*connection_, std::string("SELECT revision FROM records WHERE collection=") +
                                  kIdOf + " AND key=?");
    query << write.collection << write.key;
    if (query.step()) revision = query.count(0);
  }
  if (write.create && revision != 0) {
    return {IMCTL_ALREADY_EXISTS, named() + " is there, with revision " + std::to_string(revision)};
  }
  if (write.erase && revision == 0) return {IMCTL_NOT_FOUND, "there is no " + named()};
  if (write.revision == 0 || write.revision == revision) return {};
  return {IMCTL_FAILED_PRECONDITION,
          named() +
              (revision == 0 ? " is not there" : " has revision " + std::to_string(revision)) +
              ", not " + std::to_string(write.revision) + ": read it again"};
}

void Records::commit(CommitRecords* work) {
  work->revisions.clear();
  work->outcome = Status();
  for (size_t i = 0; i < work->writes.size(); ++i) {
    work->outcome = check(work->writes[i]);
    if (work->outcome.ok()) continue;
    work->failed = i;
    return;
  }
  for (const RecordWrite& write : work->writes) work->revisions.push_back(write_one(write));
}

uint64_t Records::write_one(const RecordWrite& write) {
  Collection collection = find(write.collection);
  if (collection.id == 0) collection = create(write.collection, 0);
  const uint64_t revision = collection.revision + 1;
  const uint64_t compacted =
      std::max(collection.compacted, revision > history_ ? revision - history_ : 0);
  erase(collection.id, write.key);
  if (!write.erase) {
    store(collection.id, write.key, revision, write.value, write.indexes);
  }
  {
    Query query(*connection_,
                "INSERT INTO record_changes(collection,revision,key,deleted) VALUES(?,?,?,?)");
    query << collection.id << revision << write.key << (write.erase ? 1 : 0);
    query.run();
  }
  {
    Query query(*connection_, "UPDATE collections SET revision=?,compacted=? WHERE id=?");
    query << revision << compacted << collection.id;
    query.run();
  }
  if (compacted != collection.compacted) {
    Query query(*connection_, "DELETE FROM record_changes WHERE collection=? AND revision<=?");
    query << collection.id << compacted;
    query.run();
  }
  return revision;
}

void Records::store(int64_t collection, std::string_view key, uint64_t revision,
                    std::string_view value, const std::vector<RecordIndex>& indexes) {
  {
    const std::string packed = pack_indexes(indexes);
    Query query(*connection_,
                "INSERT INTO records(collection,key,revision,indexes,value) VALUES(?,?,?,?,?)");
    query << collection << key << revision << packed << value;
    query.run();
  }
  for (const RecordIndex& index : indexes) {
    Query query(*connection_,
                "INSERT INTO record_index(collection,name,value,key) VALUES(?,?,?,?)");
    query << collection << index.name << index.value << key;
    query.run();
  }
}

void Records::erase(int64_t collection, std::string_view key) {
  std::vector<RecordIndex> indexes;
  {
    Query query(*connection_, "SELECT indexes FROM records WHERE collection=? AND key=?");
    query << collection << key;
    if (!query.step()) return;
    indexes = unpack_indexes(query.blob(0));
  }
  for (const RecordIndex& index : indexes) {
    Query query(*connection_,
                "DELETE FROM record_index WHERE collection=? AND name=? AND value=? AND key=?");
    query << collection << index.name << index.value << key;
    query.run();
  }
  Query query(*connection_, "DELETE FROM records WHERE collection=? AND key=?");
  query << collection << key;
  query.run();
}

void Records::load(const v1::SnapshotCollection& collection) {
  (void)create(collection.collection(), collection.revision());
}

void Records::load(const v1::SnapshotRecord& item) {
  Collection collection = find(item.collection());
  if (collection.id == 0) collection = create(item.collection(), item.record().revision());
  std::vector<RecordIndex> indexes;
  for (const v1::IndexEntry& entry : item.record().indexes()) {
    indexes.push_back({entry.name(), entry.value()});
  }
  store(collection.id, item.record().key(), item.record().revision(), item.record().value(),
        indexes);
}

void Records::clear() {
  for (const char* table : {"collections", "records", "record_index", "record_changes"}) {
    connection_->db().exec(std::string("DELETE FROM ") + table);
  }
}

bool Records::empty() {
  Query query(*connection_, "SELECT 1 FROM collections LIMIT 1");
  return !query.step();
}

// ---- reading

std::optional<RecordRow> read_record(Connection& connection, std::string_view collection,
                                     std::string_view key) {
  Query query(connection, std::string("SELECT key,revision,indexes,value FROM records WHERE "
                                      "collection=") +
                              kIdOf + " AND key=?");
  query << collection << key;
  if (!query.step()) return std::nullopt;
  return to_row(std::string(key), query, true);
}

RecordPage read_records(Connection& connection, const RecordQuery& asked) {
  RecordPage page;
  page.revision = state_of(connection, asked.collection).revision;
  std::string sql = "SELECT r.key,r.revision,r.indexes,";
  sql += asked.keys_only ? "''" : "r.value";
  // Rows are compared, so that what follows an entry of the same value is found by its key.
  if (asked.index) {
    sql +=
        ",i.value FROM record_index i JOIN records r ON r.collection=i.collection AND "
        "r.key=i.key WHERE i.collection=" +
        std::string(kIdOf) +
        " AND i.name=? AND i.value>=? AND (i.value,i.key)>(?,?) ORDER BY i.value,i.key";
  } else {
    sql += " FROM records r WHERE r.collection=" + std::string(kIdOf) +
           " AND r.key>=? AND r.key>? ORDER BY r.key";
  }
  const std::string& from = asked.index ? asked.index->value : asked.prefix;
  Query query(connection, sql);
  query << asked.collection;
  if (asked.index) {
    query << asked.index->name << from << asked.after_value << asked.after_key;
  } else {
    query << from << asked.after_key;
  }
  size_t bytes = 0;
  while (query.step()) {
    const std::string_view found = query.blob(asked.index ? 4 : 0);
    const bool whole = asked.index && !asked.index_prefix;
    if (whole ? found != from : found.substr(0, from.size()) != from) break;
    RecordRow row = to_row(query.text(0), query, !asked.keys_only);
    bytes += size_of(row);
    if (page.records.size() == asked.limit || (!page.records.empty() && bytes > asked.max_bytes)) {
      page.more = true;
      break;
    }
    if (asked.index) page.values.emplace_back(found);
    page.records.push_back(std::move(row));
  }
  return page;
}

ChangePage read_changes(Connection& connection, std::string_view collection, uint64_t after,
                        size_t limit, size_t max_bytes) {
  const CollectionState state = state_of(connection, collection);
  ChangePage page;
  page.revision = state.revision;
  page.compacted = state.compacted;
  page.upto = std::max(after, state.revision);
  if (after < state.compacted || after >= state.revision) return page;
  Query query(connection,
              std::string("SELECT c.key,r.revision,r.indexes,r.value,c.revision,c.deleted FROM "
                          "record_changes c LEFT JOIN records r ON r.collection=c.collection AND "
                          "r.key=c.key WHERE c.collection=") +
                  kIdOf + " AND c.revision>? ORDER BY c.revision");
  query << collection << after;
  size_t bytes = 0;
  uint64_t seen = after;
  while (query.step()) {
    RecordChange change;
    change.revision = query.count(4);
    change.deleted = query.number(5) != 0;
    const uint64_t now = query.count(1);  // 0: it is not there
    const bool written_again = change.deleted ? now != 0 : now != change.revision;
    if (!written_again) {
      if (change.deleted) {
        change.record.key = query.text(0);
      } else {
        change.record = to_row(query.text(0), query, true);
      }
      bytes += size_of(change.record);
      if (page.changes.size() == limit || (!page.changes.empty() && bytes > max_bytes)) {
        page.upto = seen;
        return page;
      }
      page.changes.push_back(std::move(change));
    }
    seen = query.count(4);
  }
  return page;
}

std::vector<CollectionState> read_collections(Connection& connection) {
  std::vector<CollectionState> found;
  Query query(connection, "SELECT name,revision,compacted FROM collections ORDER BY name");
  while (query.step()) found.push_back({query.text(0), query.count(1), query.count(2)});
  return found;
}

}  // namespace imctl::storage
