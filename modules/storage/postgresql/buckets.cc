#include "buckets.h"

#include <set>

namespace imctl::storage {

std::string bodies(int64_t bucket) { return "bodies_" + std::to_string(bucket); }

Bucket Buckets::at(Connection* db, int64_t time, int64_t width) {
  if (known_.first <= time && time <= known_.last) return known_;
  constexpr const char* kFind =
      "SELECT bucket, first, last FROM buckets WHERE first <= $1::int8 AND $1::int8 <= last";
  auto found = [&](const Rows& rows) {
    known_ = {rows.number(0, 0), rows.number(0, 1), rows.number(0, 2)};
    return known_;
  };
  if (Rows rows = db->query(kFind, Params::of(time)); !rows.empty()) return found(rows);
  const bool own = !db->in_transaction();
  if (own) db->queue("BEGIN");
  db->query("LOCK TABLE buckets IN SHARE ROW EXCLUSIVE MODE");
  if (Rows rows = db->query(kFind, Params::of(time)); !rows.empty()) {
    if (own) db->query("COMMIT");
    return found(rows);
  }
  // Not over its neighbours, which may be of another width.
  const int64_t first = time - time % width;
  Rows rows = db->query(
      "INSERT INTO buckets (bucket, first, last) SELECT nextval('bucket_numbers')::int,"
      " greatest($2::int8, (SELECT max(last) + 1 FROM buckets WHERE last < $1::int8)),"
      " least($3::int8, (SELECT min(first) - 1 FROM buckets WHERE first > $1::int8))"
      " RETURNING bucket, first, last",
      Params::of(time, first, first + width - 1));
  const std::string table = bodies(rows.number(0, 0));
  // It is written once and dropped: no use in cleaning it meanwhile.
  db->queue(
      "CREATE TABLE " + table +
      " (time bigint, n bigint, key uuid NOT NULL, data bytea NOT NULL, PRIMARY KEY (time, n))"
      " WITH (autovacuum_vacuum_insert_threshold = -1)");
  db->run();
  db->query("ALTER TABLE " + table + " ALTER data SET STORAGE EXTERNAL");
  if (own) db->query("COMMIT");
  return found(rows);
}

std::unordered_set<int64_t> existing_buckets(Connection* db, const std::vector<BodyPlace>& places) {
  std::set<int64_t> asked;
  for (const BodyPlace& place : places) asked.insert(place.bucket);
  Array numbers(Type::kInt8);
  for (int64_t number : asked) numbers.add(number);
  std::unordered_set<int64_t> found;
  if (asked.empty()) return found;
  const Rows rows = db->query("SELECT bucket FROM buckets WHERE bucket = ANY ($1::int8[])",
                              Params::of(std::move(numbers)));
  for (size_t i = 0; i < rows.size(); ++i) found.insert(rows.number(i, 0));
  return found;
}

}  // namespace imctl::storage
