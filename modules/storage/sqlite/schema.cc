#include "schema.h"

#include <sqlite3.h>

#include <filesystem>

#include "errors.h"

namespace imctl::storage {
namespace {

// SQLite removes the write-ahead log when the last connection closes. If it is there before the
// first one opens, somebody did not come to that.
bool closed_uncleanly(const std::string& path) {
  std::error_code ignored;
  return std::filesystem::exists(path + "-wal", ignored);
}

void configure(SQLite::Database& db) {
  db.setBusyTimeout(kBusyTimeoutMs);
  db.exec("PRAGMA temp_store=MEMORY");
}

Status check_whole(SQLite::Database& db, const std::string& path) {
  SQLite::Statement check(db, "PRAGMA quick_check(1)");
  if (!check.executeStep()) return damaged(path, "quick_check gives no answer");
  std::string verdict = check.getColumn(0).getString();
  return verdict == "ok" ? Status() : damaged(path, verdict);
}

// While `keep` is on, closing leaves the log and the database file as they are.
void keep_log_on_close(SQLite::Database& db, bool keep) {
  sqlite3_db_config(db.getHandle(), SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, keep ? 1 : 0, nullptr);
}

Status check_version(SQLite::Database& db, const std::string& path) {
  if (db.execAndGet("SELECT count(*) FROM sqlite_master").getInt() == 0) return {};
  if (db.execAndGet("PRAGMA application_id").getInt() != kApplicationId) {
    return {IMCTL_FAILED_PRECONDITION,
            "the database " + path +
                " belongs to another program: name another file in uri or db_name"};
  }
  const int version = db.execAndGet("PRAGMA user_version").getInt();
  if (version > kSchemaVersion) {
    return {IMCTL_FAILED_PRECONDITION,
            "the database " + path + " has schema " + std::to_string(version) +
                ", made by a newer version; this one knows " + std::to_string(kSchemaVersion) +
                ": use the newer version, or another file"};
  }
  return {};
}

void make_tables(SQLite::Database& db, const std::string& table) {
  const std::string name = "\"" + table + "\"";
  SQLite::Transaction transaction(db, SQLite::TransactionBehavior::IMMEDIATE);
  db.exec("CREATE TABLE IF NOT EXISTS " + name +
          "(id TEXT NOT NULL, ts INTEGER NOT NULL, d BLOB NOT NULL)");
  db.exec("CREATE UNIQUE INDEX IF NOT EXISTS \"" + table + "_id\" ON " + name + "(id)");
  db.exec("CREATE INDEX IF NOT EXISTS \"" + table + "_ts\" ON " + name + "(ts)");
  if (db.execAndGet("PRAGMA user_version").getInt() != kSchemaVersion) {
    db.exec("PRAGMA application_id=" + std::to_string(kApplicationId));
    db.exec("PRAGMA user_version=" + std::to_string(kSchemaVersion));
  }
  transaction.commit();
}

}  // namespace

Result<std::unique_ptr<SQLite::Database>> open_for_writing(const std::string& path,
                                                           const std::string& table) {
  std::unique_ptr<SQLite::Database> db;
  try {
    const bool check = closed_uncleanly(path);
    db = std::make_unique<SQLite::Database>(
        path, SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOMUTEX);
    configure(*db);
    keep_log_on_close(*db, true);
    if (Status status = check_version(*db, path); !status.ok()) return status;
    if (check) {
      if (Status status = check_whole(*db, path); !status.ok()) return status;
    }
    db->exec("PRAGMA secure_delete=OFF");
    const std::string mode = db->execAndGet("PRAGMA journal_mode=WAL").getString();
    if (mode != "wal") {
      return Status(IMCTL_FAILED_PRECONDITION, "the database " + path +
                                                   " cannot keep a write-ahead log (journal_mode " +
                                                   mode + "): put it on a local disk");
    }
    // With a write-ahead log, FULL means: every commit is on the disk when it returns.
    db->exec("PRAGMA synchronous=FULL");
    // A log that grew under load does not keep the space for ever.
    db->exec("PRAGMA journal_size_limit=67108864");
    make_tables(*db, table);
    keep_log_on_close(*db, false);
    return db;
  } catch (const SQLite::Exception& error) {
    return to_status(error, db != nullptr ? db->getHandle() : nullptr, path);
  }
}

std::unique_ptr<SQLite::Database> open_for_reading(const std::string& path) {
  auto db = std::make_unique<SQLite::Database>(path, SQLITE_OPEN_READONLY | SQLITE_OPEN_NOMUTEX);
  configure(*db);
  return db;
}

}  // namespace imctl::storage
