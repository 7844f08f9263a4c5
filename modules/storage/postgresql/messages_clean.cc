// Removing messages that are past their retention period.
#include <string>

#include "messages.h"

namespace imctl::storage {
namespace {

// Rows that one run looks at: some milliseconds.
constexpr uint64_t kRows = 2000;

}  // namespace

void MessageCleaner::run(Transaction* txn, CleanMessages* work) {
  work->removed = 0;
  work->more = false;
  if (work->before != before_) at_.clear();
  before_ = work->before;
  // One host at a time; who was asked for all of it waits for its turn.
  constexpr const char* kTry = "SELECT pg_try_advisory_xact_lock('buckets'::regclass::oid::bigint)";
  constexpr const char* kWait =
      "SELECT 1 FROM pg_advisory_xact_lock('buckets'::regclass::oid::bigint)";
  const Rows turn = txn->db->query(work->all ? kWait : kTry);
  if (!work->all && turn.number(0, 0) == 0) return;
  std::vector<Candidate> candidates;
  {
    const Rows rows = txn->db->query(
        "SELECT bucket, first, last, emptied FROM buckets WHERE first <= $1::int8 ORDER BY first",
        Params::of(work->before));
    for (size_t i = 0; i < rows.size(); ++i) {
      Bucket bucket{rows.number(i, 0), rows.number(i, 1), rows.number(i, 2)};
      bool whole = bucket.last <= work->before;
      if (whole || work->all) candidates.push_back({bucket, rows.number(i, 3) != 0, whole});
    }
  }
  for (const Candidate& candidate : candidates) {
    if (!candidate.emptied && clean_part(txn, candidate, work) >= kRows) {
      work->more = true;
      return;
    }
    const bool last = candidate.bucket.number == candidates.back().bucket.number;
    // A large table takes a moment to go.
    if (candidate.whole && drop(txn, candidate) && !last) {
      work->more = true;
      return;
    }
  }
  at_.clear();
}

size_t MessageCleaner::clean_part(Transaction* txn, const Candidate& candidate,
                                  CleanMessages* work) {
  const std::string table = bodies(candidate.bucket.number);
  auto& [time, n] = at_.try_emplace(candidate.bucket.number, INT64_MIN, INT64_MIN).first->second;
  // Bodies of a bucket that goes as a whole stay until then.
  const std::string bodies_too =
      candidate.whole
          ? ""
          : ", b AS (DELETE FROM " + table + " b USING c WHERE b.time = c.time AND b.n = c.n)";
  const Rows rows = txn->db->query(
      "WITH c AS MATERIALIZED (SELECT time, n, key FROM " + table +
          " WHERE (time, n) > ($1::int8, $2::int8) AND time <= $3::int8"
          " ORDER BY time, n LIMIT $4::int8),"
          " d AS (DELETE FROM ids i USING c WHERE i.key = c.key AND i.n = c.n RETURNING 1)" +
          bodies_too +
          " SELECT (SELECT count(*) FROM c), (SELECT count(*) FROM d), time, n FROM c"
          " ORDER BY time DESC, n DESC LIMIT 1",
      Params::of(time, n, work->before, kRows));
  if (rows.empty()) return 0;
  work->removed += rows.natural(0, 1);
  time = rows.number(0, 2);
  n = rows.number(0, 3);
  return rows.natural(0, 0);
}

bool MessageCleaner::drop(Transaction* txn, const Candidate& candidate) {
  const std::string table = bodies(candidate.bucket.number);
  at_.erase(candidate.bucket.number);
  Connection* db = txn->db;
  db->query("SAVEPOINT dropping");
  try {
    // Not while a dump reads it: others would wait behind us for as long as that takes.
    db->query("LOCK TABLE " + table + " IN ACCESS EXCLUSIVE MODE NOWAIT");
  } catch (const Error& error) {
    if (!error.is(kLockNotAvailable)) throw;
    db->query("ROLLBACK TO SAVEPOINT dropping");
    if (candidate.emptied) return false;
    db->query("UPDATE buckets SET emptied = true WHERE bucket = $1::int8",
              Params::of(candidate.bucket.number));
    return false;
  }
  db->queue("DELETE FROM buckets WHERE bucket = $1::int8", Params::of(candidate.bucket.number));
  db->query("DROP TABLE " + table);
  return true;
}

}  // namespace imctl::storage
