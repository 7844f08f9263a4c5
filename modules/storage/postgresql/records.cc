#include "records.h"

#include <algorithm>
#include <string>
#include <utility>

#include "imctl/storage/v1/records.pb.h"
#include "mailboxes.h"

namespace imctl::storage {
namespace {

// What an entry of an answer takes beside its texts, at most: 64 bytes. The first entry is given
// however large it is; it is the one whose own bytes are all up to it.

// The collection's row, and beside it, where there are any, rows of `page`, with `more`, how many
// there were; no more than $1 bytes of them.
std::string page_sql(const std::string& page) {
  return "SELECT c.revision, p.more, p.key, p.revision, p.indexes, p.value, p.found FROM "
         "collections c"
         " LEFT JOIN LATERAL (SELECT * FROM (SELECT *, count(*) OVER () AS more,"
         " sum(bytes) OVER (ORDER BY found, key) AS upto FROM (" +
         page +
         ") x) w WHERE upto = bytes OR upto <= $1::int8 ORDER BY found, key) p ON true"
         " WHERE c.name = $2::bytea";
}

const char* value_column(bool keys_only) { return keys_only ? "''::bytea" : "r.value"; }

std::string bytes_column(bool keys_only) {
  return keys_only ? "(octet_length(r.key) + octet_length(r.indexes) + 64)"
                   : "(octet_length(r.key) + octet_length(r.indexes) + octet_length(r.value) + 64)";
}

std::string by_key_sql(bool keys_only) {
  return page_sql(std::string("SELECT r.key, r.revision, r.indexes, ") + value_column(keys_only) +
                  " AS value, ''::bytea AS found, " + bytes_column(keys_only) +
                  "::int8 AS bytes FROM records r WHERE r.collection = c.id AND r.key >= $3::bytea"
                  " AND r.key < $4::bytea AND r.key > $5::bytea ORDER BY r.key LIMIT $6::int8");
}

std::string by_index_sql(bool keys_only) {
  // After an entry (value, key), up to a value.
  return page_sql(std::string("SELECT r.key, r.revision, r.indexes, ") + value_column(keys_only) +
                  " AS value, i.value AS found, " + bytes_column(keys_only) +
                  "::int8 AS bytes FROM (SELECT value, key FROM indexes WHERE collection = c.id"
                  " AND name = $3::bytea AND (value, key) > ($4::bytea, $5::bytea)"
                  " AND value < $6::bytea ORDER BY value, key LIMIT $7::int8) i"
                  " JOIN records r ON r.collection = c.id AND r.key = i.key");
}

}  // namespace

std::string pack_indexes(const std::vector<RecordIndex>& indexes) {
  v1::Record record;
  for (const RecordIndex& index : indexes) {
    v1::IndexEntry* entry = record.add_indexes();
    entry->set_name(index.name);
    entry->set_value(index.value);
  }
  return record.SerializeAsString();
}

std::vector<RecordIndex> unpack_indexes(std::string_view bytes) {
  v1::Record record;
  record.ParseFromArray(bytes.data(), static_cast<int>(bytes.size()));
  std::vector<RecordIndex> indexes;
  for (const v1::IndexEntry& entry : record.indexes()) {
    indexes.push_back({entry.name(), entry.value()});
  }
  return indexes;
}

std::optional<RecordRow> get_record(Connection* db, std::string_view collection,
                                    std::string_view key) {
  const Rows rows = db->query(
      "SELECT r.value, r.revision, r.indexes FROM collections c"
      " JOIN records r ON r.collection = c.id AND r.key = $2::bytea WHERE c.name = $1::bytea",
      Params::of(collection, key));
  if (rows.empty()) return std::nullopt;
  return RecordRow{std::string(key), std::string(rows.bytes(0, 0)), rows.natural(0, 1),
                   unpack_indexes(rows.bytes(0, 2))};
}

RecordPage list_records(Connection* db, const RecordQuery& query) {
  // One more, to see whether there are more.
  const uint64_t limit = uint64_t{query.limit} + 1;
  Params params = Params::of(uint64_t{query.max_bytes}, query.collection);
  Rows rows;
  if (query.index) {
    const std::string& value = query.index->value;
    params.add(query.index->name);
    // The smallest there can be, if there is no place to go on from: keys are not empty.
    const bool on = !query.after_key.empty();
    params.add(on ? query.after_value : value);
    params.add(query.after_key);
    params.add(query.index_prefix ? after_prefix(value) : value + '\0');
    params.add(limit);
    rows = db->query(by_index_sql(query.keys_only), params);
  } else {
    params.add(query.prefix);
    params.add(after_prefix(query.prefix));
    params.add(query.after_key);
    params.add(limit);
    rows = db->query(by_key_sql(query.keys_only), params);
  }
  RecordPage page;
  for (size_t i = 0; i < rows.size(); ++i) {
    page.revision = rows.natural(i, 0);
    if (rows.null(i, 1)) continue;
    if (page.records.size() == query.limit) break;
    page.more = rows.natural(i, 1) > page.records.size() + 1;
    page.records.push_back({std::string(rows.bytes(i, 2)), std::string(rows.bytes(i, 5)),
                            rows.natural(i, 3), unpack_indexes(rows.bytes(i, 4))});
    if (query.index) page.values.emplace_back(rows.bytes(i, 6));
  }
  return page;
}

ChangePage read_changes(Connection* db, std::string_view collection, uint64_t after, size_t limit,
                        size_t max_bytes) {
  // Of a record's changes only the last counts; `upto`: bytes of those up to and with this one.
  const Rows rows = db->query(
      "SELECT c.revision, c.compacted, p.revision, p.last, p.deleted, p.key, p.indexes,"
      " CASE WHEN p.last THEN p.value END FROM collections c"
      " LEFT JOIN LATERAL (SELECT * FROM (SELECT x.*,"
      " sum(bytes) OVER (ORDER BY revision) AS upto"
      " FROM (SELECT h.revision, h.deleted, h.key, h.last, r.indexes, r.value, CASE WHEN h.last"
      " THEN octet_length(h.key) + coalesce(octet_length(r.value) + octet_length(r.indexes), 0)"
      " + 64 ELSE 0 END::int8 AS bytes"
      " FROM (SELECT g.revision, g.deleted, g.key, NOT EXISTS (SELECT 1 FROM changes l"
      " WHERE l.collection = g.collection AND l.key = g.key AND l.revision > g.revision) AS last"
      " FROM changes g WHERE g.collection = c.id AND g.revision > $2::int8"
      " ORDER BY g.revision LIMIT $3::int8) h"
      " LEFT JOIN records r ON r.collection = c.id AND r.key = h.key) x) w"
      " WHERE upto = bytes OR upto <= $4::int8 ORDER BY revision) p ON true WHERE c.name = "
      "$1::bytea",
      Params::of(collection, std::min<uint64_t>(after, INT64_MAX), uint64_t{limit},
                 uint64_t{max_bytes}));
  ChangePage page;
  for (size_t i = 0; i < rows.size(); ++i) {
    page.revision = rows.natural(i, 0);
    page.compacted = rows.natural(i, 1);
    if (rows.null(i, 2)) {  // none after
      page.upto = page.revision;
      continue;
    }
    page.upto = rows.natural(i, 2);
    if (rows.number(i, 3) == 0) continue;
    RecordChange change;
    change.revision = page.upto;
    change.deleted = rows.number(i, 4) != 0;
    change.record.key = rows.bytes(i, 5);
    if (!change.deleted) {
      change.record.revision = change.revision;
      change.record.value = rows.bytes(i, 7);
      change.record.indexes = unpack_indexes(rows.bytes(i, 6));
    }
    page.changes.push_back(std::move(change));
  }
  return page;
}

std::vector<CollectionState> read_collections(Connection* db) {
  const Rows rows = db->query(
      "SELECT name, revision, compacted FROM collections WHERE revision > 0 ORDER BY name");
  std::vector<CollectionState> all;
  for (size_t i = 0; i < rows.size(); ++i) {
    all.push_back({std::string(rows.bytes(i, 0)), rows.natural(i, 1), rows.natural(i, 2)});
  }
  return all;
}

}  // namespace imctl::storage
