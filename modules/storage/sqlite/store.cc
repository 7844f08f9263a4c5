#include "store.h"

#include <sqlite3.h>

#include <exception>
#include <string_view>
#include <utility>

#include "errors.h"
#include "schema.h"

namespace imctl::storage {
namespace {

int64_t unix_ms() {
  return std::chrono::duration_cast<std::chrono::milliseconds>(
             std::chrono::system_clock::now().time_since_epoch())
      .count();
}

std::string quoted(const std::string& table) { return "\"" + table + "\""; }

// Runs a statement that gives no rows; gives how many it changed.
size_t run(SQLite::Statement& statement) {
  statement.exec();
  size_t changed = static_cast<size_t>(statement.getChanges());
  statement.reset();
  return changed;
}

}  // namespace

int64_t expired_since(std::chrono::milliseconds retention) { return unix_ms() - retention.count(); }

Result<std::unique_ptr<Store>> Store::open(const Options& options) {
  auto db = open_for_writing(options.path, options.table);
  if (!db.ok()) return db.status();
  try {
    return std::unique_ptr<Store>(new Store(options, std::move(*db)));
  } catch (const SQLite::Exception& error) {
    // The table of that name is not of our making.
    return to_status(error, nullptr, options.path);
  }
}

Store::Store(const Options& options, std::unique_ptr<SQLite::Database> db)
    : path_(options.path),
      retention_(options.retention),
      db_(std::move(db)),
      insert_(*db_, "INSERT INTO " + quoted(options.table) +
                        "(id,ts,d) VALUES(?,?,?) ON CONFLICT(id) DO NOTHING"),
      find_(*db_, "SELECT ts,d FROM " + quoted(options.table) + " WHERE id=?"),
      replace_(*db_, "UPDATE " + quoted(options.table) + " SET ts=?,d=? WHERE id=?"),
      remove_(*db_, "DELETE FROM " + quoted(options.table) + " WHERE id=? AND ts>?"),
      clean_(*db_, "DELETE FROM " + quoted(options.table) + " WHERE rowid IN (SELECT rowid FROM " +
                       quoted(options.table) + " WHERE ts<=? ORDER BY ts LIMIT ?)") {}

Status Store::transaction(const std::function<void()>& work) {
  Status status;
  try {
    db_->exec("BEGIN IMMEDIATE");
    work();
    db_->exec("COMMIT");
    return status;
  } catch (const SQLite::Exception& error) {
    status = to_status(error, db_->getHandle(), path_);
  } catch (const std::bad_alloc&) {
    status = Status(IMCTL_RESOURCE_EXHAUSTED,
                    "no memory to write to the database " + path_ + ": try again");
  }
  // A statement that failed half-way would fail once more when it is used next.
  for (SQLite::Statement* s : {&insert_, &find_, &replace_, &remove_, &clean_}) (void)s->tryReset();
  if (sqlite3_get_autocommit(db_->getHandle()) == 0) (void)db_->tryExec("ROLLBACK");
  return status;
}

void Store::shrink_log() noexcept { (void)db_->tryExec("PRAGMA wal_checkpoint(TRUNCATE)"); }

size_t Store::put(const std::vector<Row>& rows) {
  const int64_t now = unix_ms();
  const int64_t expired = now - retention_.count();
  size_t stored = 0;
  while (stored < rows.size() && put_one(rows[stored], now, expired)) ++stored;
  return stored;
}

bool Store::put_one(const Row& row, int64_t now, int64_t expired) {
  insert_.bindNoCopy(1, row.id);
  insert_.bind(2, now);
  insert_.bindNoCopy(3, row.data.data(), static_cast<int>(row.data.size()));
  if (run(insert_) == 1) return true;

  find_.bindNoCopy(1, row.id);
  find_.executeStep();
  const int64_t since = find_.getColumn(0).getInt64();
  const SQLite::Column data = find_.getColumn(1);
  const bool same = std::string_view(static_cast<const char*>(data.getBlob()),
                                     static_cast<size_t>(data.getBytes())) == row.data;
  find_.reset();
  if (since > expired) return same;

  replace_.bind(1, now);
  replace_.bindNoCopy(2, row.data.data(), static_cast<int>(row.data.size()));
  replace_.bindNoCopy(3, row.id);
  run(replace_);
  return true;
}

size_t Store::remove(const std::vector<std::string>& ids) {
  const int64_t expired = expired_since(retention_);
  size_t removed = 0;
  for (const std::string& id : ids) {
    remove_.bindNoCopy(1, id);
    remove_.bind(2, expired);
    removed += run(remove_);
  }
  return removed;
}

size_t Store::clean(int64_t since, size_t limit) {
  clean_.bind(1, since);
  clean_.bind(2, static_cast<int64_t>(limit));
  return run(clean_);
}

}  // namespace imctl::storage
