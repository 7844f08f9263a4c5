#include "mailboxes.h"

#include <algorithm>
#include <map>
#include <unordered_map>
#include <utility>

#include "imctl/storage/v1/mailboxes.pb.h"

namespace imctl::storage {
namespace {

// What one run of a removal takes.
constexpr uint64_t kRemoved = 500;

struct Locked {
  int64_t id = 0;
  uint64_t epoch = 0;
  uint64_t last = 0;
  uint64_t first = 0;
};
// Names come sorted and each once.
std::map<std::string, Locked> lock_mailboxes(Connection* db, Array names, bool to_write) {
  const Rows rows = db->query(std::string("SELECT name, id, epoch, first, last FROM mailboxes"
                                          " WHERE name = ANY ($1::bytea[]) ORDER BY name FOR ") +
                                  (to_write ? "NO KEY UPDATE" : "KEY SHARE"),
                              Params::of(std::move(names)));
  std::map<std::string, Locked> found;
  for (size_t i = 0; i < rows.size(); ++i) {
    found[std::string(rows.bytes(i, 0))] = {rows.number(i, 1), rows.natural(i, 2),
                                            rows.natural(i, 4), rows.natural(i, 3)};
  }
  return found;
}

// Some mailbox does not have these deliveries any more; those that none has go.
void release(Connection* db, Array ns) {
  const Rows rows = db->query(
      "SELECT n, entries FROM deliveries WHERE n = ANY ($1::int8[]) ORDER BY n FOR UPDATE",
      Params::of(std::move(ns)));
  Array gone(Type::kInt8);
  Array left(Type::kInt8);
  for (size_t i = 0; i < rows.size(); ++i) {
    (rows.number(i, 1) <= 1 ? gone : left).add(rows.number(i, 0));
  }
  if (!gone.empty()) {
    db->queue("DELETE FROM deliveries WHERE n = ANY ($1::int8[])", Params::of(std::move(gone)));
  }
  if (!left.empty()) {
    db->queue("UPDATE deliveries SET entries = entries - 1 WHERE n = ANY ($1::int8[])",
              Params::of(std::move(left)));
  }
}

// Gives whether there may be more.
bool remove_entries(Connection* db, int64_t mailbox) {
  const Rows rows = db->query(
      "WITH e AS MATERIALIZED (SELECT sequence, n FROM entries WHERE mailbox = $1::int8"
      " ORDER BY sequence LIMIT $2::int8),"
      " d AS (DELETE FROM entries x USING e WHERE x.mailbox = $1::int8 AND x.sequence = e.sequence)"
      " SELECT n FROM e",
      Params::of(mailbox, kRemoved));
  Array ns(Type::kInt8);
  for (size_t i = 0; i < rows.size(); ++i) ns.add(rows.number(i, 0));
  if (!ns.empty()) release(db, std::move(ns));
  if (rows.size() == kRemoved) return true;
  db->query("DELETE FROM removals WHERE mailbox = $1::int8", Params::of(mailbox));
  return false;
}

std::string no_such_epoch(const AckMailbox& work, uint64_t epoch) {
  return "the mailbox \"" + work.mailbox + "\" has epoch " + std::to_string(epoch) + ", not " +
         std::to_string(work.epoch) + ": it was made anew; read it from its beginning";
}

}  // namespace

void ack_mailboxes(Transaction* txn, std::span<AckMailbox* const> works) {
  std::map<std::string_view, int> sorted;
  for (AckMailbox* work : works) sorted[work->mailbox] = 0;
  Array names(Type::kBytes);
  for (const auto& [name, unused] : sorted) names.add(name);
  const auto mailboxes = lock_mailboxes(txn->db, std::move(names), false);

  // What is to be written, each cursor once.
  std::map<std::pair<int64_t, std::string>, uint64_t> cursors;
  for (AckMailbox* work : works) {
    work->outcome = Status();
    work->stands = 0;
    work->moved = 0;
    auto found = mailboxes.find(work->mailbox);
    const Locked mailbox = found == mailboxes.end() ? Locked() : found->second;
    if (work->epoch != 0 && work->epoch != mailbox.epoch) {
      work->outcome = Status(IMCTL_FAILED_PRECONDITION, no_such_epoch(*work, mailbox.epoch));
    } else if (work->sequence > mailbox.last) {
      work->outcome =
          Status(IMCTL_OUT_OF_RANGE, "sequence " + std::to_string(work->sequence) +
                                         " is beyond the end of the mailbox \"" + work->mailbox +
                                         "\", " + std::to_string(mailbox.last));
    } else if (found != mailboxes.end()) {
      uint64_t& to = cursors[{mailbox.id, work->device}];
      to = std::max(to, work->sequence);
    }
  }
  if (cursors.empty()) return;
  Array ids(Type::kInt8);
  Array devices(Type::kBytes);
  Array sequences(Type::kInt8);
  for (const auto& [cursor, sequence] : cursors) {
    ids.add(cursor.first);
    devices.add(cursor.second);
    sequences.add(sequence);
  }
  const std::string id_array = std::move(ids).take();
  const std::string device_array = std::move(devices).take();
  txn->db->queue(
      "INSERT INTO cursors AS c (mailbox, device, sequence, time)"
      " SELECT unnest($1::int8[]), unnest($2::bytea[]), unnest($3::int8[]), $4::int8"
      " ON CONFLICT (mailbox, device) DO UPDATE SET sequence = excluded.sequence,"
      " time = excluded.time WHERE c.sequence < excluded.sequence",
      Params::of(id_array, device_array, std::move(sequences), txn->now));
  const Rows rows = txn->db->query(
      "SELECT c.mailbox, c.device, c.sequence, c.time"
      " FROM unnest($1::int8[], $2::bytea[]) AS t (mailbox, device)"
      " JOIN cursors c ON c.mailbox = t.mailbox AND c.device = t.device",
      Params::of(id_array, device_array));
  std::map<std::pair<int64_t, std::string>, std::pair<uint64_t, int64_t>> stand;
  for (size_t i = 0; i < rows.size(); ++i) {
    stand[{rows.number(i, 0), std::string(rows.bytes(i, 1))}] = {rows.natural(i, 2),
                                                                 rows.number(i, 3)};
  }
  for (AckMailbox* work : works) {
    auto found = mailboxes.find(work->mailbox);
    if (!work->outcome.ok() || found == mailboxes.end()) continue;
    std::tie(work->stands, work->moved) = stand[{found->second.id, work->device}];
  }
}

void delete_cursor(Transaction* txn, DeleteCursor* work) {
  const Rows rows = txn->db->query(
      "DELETE FROM cursors c USING mailboxes m WHERE m.name = $1::bytea AND c.mailbox = m.id"
      " AND c.device = $2::bytea RETURNING 1",
      Params::of(work->mailbox, work->device));
  work->existed = !rows.empty();
}

void delete_mailbox(Transaction* txn, DeleteMailbox* work) {
  Connection* db = txn->db;
  work->more = false;
  if (!work->begun) {
    work->existed = false;
    const Rows rows = db->query("DELETE FROM mailboxes WHERE name = $1::bytea RETURNING id",
                                Params::of(work->mailbox));
    if (rows.empty()) return;
    work->existed = true;
    const int64_t id = rows.number(0, 0);
    db->queue("DELETE FROM cursors WHERE mailbox = $1::int8", Params::of(id));
    db->queue("INSERT INTO removals (mailbox, name) VALUES ($1::int8, $2::bytea)",
              Params::of(id, work->mailbox));
    txn->notices.add(Watchers::Kind::kMailbox, work->mailbox);
    work->more = remove_entries(db, id);
    return;
  }
  const Rows rows =
      db->query("SELECT mailbox FROM removals WHERE name = $1::bytea ORDER BY mailbox LIMIT 1",
                Params::of(work->mailbox));
  if (!rows.empty()) work->more = remove_entries(db, rows.number(0, 0));
}

bool go_on_removing(Transaction* txn) {
  const Rows rows = txn->db->query(
      "SELECT mailbox FROM removals ORDER BY mailbox LIMIT 1 FOR UPDATE SKIP LOCKED");
  if (rows.empty()) return false;
  remove_entries(txn->db, rows.number(0, 0));
  return true;
}

void clean_mailboxes(Transaction* txn, CleanMailboxes* work) {
  Connection* db = txn->db;
  work->removed = 0;
  work->more = go_on_removing(txn);
  const Rows turn =
      db->query("SELECT pg_try_advisory_xact_lock('deliveries'::regclass::oid::bigint)");
  if (turn.number(0, 0) == 0) return;
  const Rows rows = db->query("SELECT n, time, places FROM deliveries ORDER BY n LIMIT $1::int8",
                              Params::of(kRemoved));
  // The oldest, up to the first that is to stay.
  Array ns(Type::kInt8);
  struct UpTo {
    uint64_t epoch = 0;
    uint64_t sequence = 0;
  };
  std::map<std::string, UpTo> upto;  // what goes in each mailbox
  for (size_t i = 0; i < rows.size() && rows.number(i, 1) <= work->before; ++i) {
    ns.add(rows.number(i, 0));
    v1::AppendResponse places;
    const std::string_view bytes = rows.bytes(i, 2);
    places.ParseFromArray(bytes.data(), static_cast<int>(bytes.size()));
    for (const v1::Position& place : places.positions()) {
      UpTo& to = upto[place.mailbox()];
      if (place.epoch() >= to.epoch) to = {place.epoch(), place.sequence()};
    }
  }
  if (ns.empty()) return;
  work->removed = ns.count();
  work->more = work->more || ns.count() == kRemoved;
  Array names(Type::kBytes);
  for (const auto& [name, to] : upto) names.add(name);
  Array ids(Type::kInt8);
  Array firsts(Type::kInt8);
  for (const auto& [name, mailbox] : lock_mailboxes(db, std::move(names), true)) {
    const UpTo& to = upto.at(name);
    if (to.epoch != mailbox.epoch || to.sequence < mailbox.first) continue;
    ids.add(mailbox.id);
    firsts.add(to.sequence + 1);
    txn->notices.add(Watchers::Kind::kMailbox, name);
  }
  if (!ids.empty()) {
    const std::string id_array = std::move(ids).take();
    const std::string first_array = std::move(firsts).take();
    db->queue(
        "DELETE FROM entries e USING unnest($1::int8[], $2::int8[]) AS t (mailbox, first)"
        " WHERE e.mailbox = t.mailbox AND e.sequence < t.first",
        Params::of(id_array, first_array));
    db->queue(
        "UPDATE mailboxes m SET first = t.first"
        " FROM unnest($1::int8[], $2::int8[]) AS t (mailbox, first) WHERE m.id = t.mailbox",
        Params::of(id_array, first_array));
  }
  db->query("DELETE FROM deliveries WHERE n = ANY ($1::int8[])", Params::of(std::move(ns)));
}

// ---- reading

std::string after_prefix(std::string_view prefix) { return std::string(prefix) + '\xff'; }

MailboxPage read_mailbox(Connection* db, std::string_view mailbox, uint64_t after, size_t limit,
                         size_t max_bytes) {
  // One statement, so of one moment. `upto`: bytes of the entries up to and with this one.
  const Rows rows = db->query(
      "SELECT m.epoch, m.first, m.last, p.sequence, p.time, p.data FROM mailboxes m"
      " LEFT JOIN LATERAL (SELECT sequence, time, data FROM (SELECT e.sequence, d.time, d.data,"
      " octet_length(d.data) + 64 AS bytes,"
      " sum(octet_length(d.data) + 64) OVER (ORDER BY e.sequence) AS upto"
      " FROM (SELECT sequence, n FROM entries WHERE mailbox = m.id AND sequence > $2::int8"
      " ORDER BY sequence LIMIT $3::int8) e JOIN deliveries d ON d.n = e.n) w"
      " WHERE upto = bytes OR upto <= $4::int8 ORDER BY sequence) p ON true WHERE m.name = "
      "$1::bytea",
      Params::of(mailbox, std::min<uint64_t>(after, INT64_MAX), uint64_t{limit},
                 uint64_t{max_bytes}));
  MailboxPage page;
  page.state.mailbox = mailbox;
  for (size_t i = 0; i < rows.size(); ++i) {
    if (i == 0) {
      page.state.epoch = rows.natural(i, 0);
      page.state.first = rows.natural(i, 1);
      page.state.last = rows.natural(i, 2);
    }
    if (rows.null(i, 3)) continue;
    page.entries.push_back({rows.natural(i, 3), rows.number(i, 4), std::string(rows.bytes(i, 5))});
  }
  return page;
}

Cursors read_cursors(Connection* db, std::string_view mailbox) {
  const Rows rows = db->query(
      "SELECT m.epoch, c.device, c.sequence, c.time FROM mailboxes m"
      " LEFT JOIN cursors c ON c.mailbox = m.id WHERE m.name = $1::bytea ORDER BY c.device",
      Params::of(mailbox));
  Cursors all;
  for (size_t i = 0; i < rows.size(); ++i) {
    all.epoch = rows.natural(i, 0);
    if (rows.null(i, 1)) continue;
    all.cursors.push_back({std::string(rows.bytes(i, 1)), rows.natural(i, 2), rows.number(i, 3)});
  }
  return all;
}

std::vector<MailboxState> list_mailboxes(Connection* db, std::string_view prefix,
                                         std::string_view after, size_t limit) {
  const Rows rows = db->query(
      "SELECT name, epoch, first, last FROM mailboxes WHERE name >= $1::bytea AND name < $2::bytea"
      " AND name > $3::bytea ORDER BY name LIMIT $4::int8",
      Params::of(prefix, after_prefix(prefix), after, uint64_t{limit}));
  std::vector<MailboxState> all;
  for (size_t i = 0; i < rows.size(); ++i) {
    all.push_back({std::string(rows.bytes(i, 0)), rows.natural(i, 1), rows.natural(i, 2),
                   rows.natural(i, 3)});
  }
  return all;
}

}  // namespace imctl::storage
