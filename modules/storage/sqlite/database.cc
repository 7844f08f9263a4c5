#include "database.h"

#include <fcntl.h>
#include <sqlite3.h>
#include <sys/file.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <filesystem>
#include <vector>

#include "errors.h"
#include "key.h"
#include "log.h"

namespace imctl::storage {
namespace {

// Smaller ones would leave much of their room empty with messages of a kilobyte; of larger ones
// each commit writes more, and each look at a message reads more.
constexpr int kPageSize = 8192;

// Pages in the write-ahead log at which they are moved into the file, 64 MiB, and what the log
// keeps of its size then. A page that is written often meanwhile is moved once.
constexpr int kCheckpoint = 8192;
constexpr int64_t kLogKept = int64_t{kPageSize} * kCheckpoint;

// SQLite removes the write-ahead log when the last connection closes. If it is there before the
// first one opens, somebody did not come to that.
bool closed_uncleanly(const std::string& path) {
  std::error_code ignored;
  return std::filesystem::exists(path + "-wal", ignored);
}

Status quick_check(Connection& connection, const std::string& path, const std::string& table) {
  SQLite::Statement check(connection.db(), "PRAGMA quick_check(" + table + ")");
  if (!check.executeStep()) return damaged(path, "quick_check gives no answer");
  const std::string verdict = check.getColumn(0).getString();
  return verdict == "ok" ? Status() : damaged(path, verdict);
}

// What can have been in the middle of a write: all tables but the buckets that are only read, so
// that the time it takes does not grow with the store.
Status check_tables(Connection& connection, const std::string& path) {
  std::vector<std::string> tables;
  {
    Query query(connection,
                "SELECT name FROM sqlite_master WHERE type='table' AND name NOT IN ("
                " SELECT log||'_'||bucket FROM buckets WHERE last>0)");
    while (query.step()) tables.push_back("\"" + query.text(0) + "\"");
  }
  for (const std::string& table : tables) {
    if (Status status = quick_check(connection, path, table); !status.ok()) return status;
  }
  return {};
}

// While `keep` is on, closing leaves the log and the database file as they are.
void keep_log_on_close(Connection& connection, bool keep) {
  sqlite3_db_config(connection.handle(), SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, keep ? 1 : 0, nullptr);
}

Status check_version(SQLite::Database& db, const std::string& path, bool* fresh) {
  *fresh = db.execAndGet("SELECT count(*) FROM sqlite_master").getInt() == 0;
  if (*fresh) return {};
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
  if (version < kSchemaVersion) {
    return {IMCTL_FAILED_PRECONDITION,
            "the database " + path + " has schema " + std::to_string(version) +
                ", of a version that was never released: move it away, or name another file"};
  }
  return {};
}

void make_tables(SQLite::Database& db) {
  SQLite::Transaction transaction(db, SQLite::TransactionBehavior::IMMEDIATE);
  for (const char* sql :
       {"CREATE TABLE meta(name BLOB PRIMARY KEY, value) WITHOUT ROWID",
        "CREATE TABLE buckets(log BLOB NOT NULL, bucket INTEGER NOT NULL, first INTEGER NOT NULL,"
        " newest INTEGER NOT NULL, last INTEGER NOT NULL, removed INTEGER NOT NULL,"
        " PRIMARY KEY(log,bucket)) WITHOUT ROWID",
        "CREATE TABLE mailboxes(id INTEGER PRIMARY KEY AUTOINCREMENT, name BLOB NOT NULL UNIQUE,"
        " epoch INTEGER NOT NULL, first INTEGER NOT NULL, last INTEGER NOT NULL)",
        "CREATE TABLE entries(mailbox INTEGER NOT NULL, sequence INTEGER NOT NULL,"
        " at INTEGER NOT NULL, PRIMARY KEY(mailbox,sequence)) WITHOUT ROWID",
        "CREATE TABLE cursors(mailbox INTEGER NOT NULL, device BLOB NOT NULL,"
        " sequence INTEGER NOT NULL, ts INTEGER NOT NULL, PRIMARY KEY(mailbox,device))"
        " WITHOUT ROWID",
        "CREATE TABLE dead_mailboxes(id INTEGER PRIMARY KEY)",
        "CREATE TABLE collections(id INTEGER PRIMARY KEY AUTOINCREMENT, name BLOB NOT NULL UNIQUE,"
        " revision INTEGER NOT NULL, compacted INTEGER NOT NULL)",
        "CREATE TABLE records(collection INTEGER NOT NULL, key BLOB NOT NULL,"
        " revision INTEGER NOT NULL, indexes BLOB NOT NULL, value BLOB NOT NULL,"
        " UNIQUE(collection,key))",
        "CREATE TABLE record_index(collection INTEGER NOT NULL, name BLOB NOT NULL,"
        " value BLOB NOT NULL, key BLOB NOT NULL, PRIMARY KEY(collection,name,value,key))"
        " WITHOUT ROWID",
        "CREATE TABLE record_changes(collection INTEGER NOT NULL, revision INTEGER NOT NULL,"
        " key BLOB NOT NULL, deleted INTEGER NOT NULL, PRIMARY KEY(collection,revision))"
        " WITHOUT ROWID"}) {
    db.exec(sql);
  }
  SQLite::Statement secret(db, "INSERT INTO meta(name,value) VALUES(CAST('secret' AS BLOB),?)");
  const std::string bytes = KeyMaker::new_secret();
  secret.bind(1, bytes.data(), static_cast<int>(bytes.size()));
  secret.exec();
  db.exec("PRAGMA application_id=" + std::to_string(kApplicationId));
  db.exec("PRAGMA user_version=" + std::to_string(kSchemaVersion));
  transaction.commit();
}

}  // namespace

Result<std::unique_ptr<FileLock>> FileLock::take(const std::string& database) {
  const std::string path = database + ".lock";
  const int fd = open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600);
  if (fd < 0) {
    const int why = errno;
    return Status(
        why == ENOSPC || why == EDQUOT ? IMCTL_RESOURCE_EXHAUSTED : IMCTL_FAILED_PRECONDITION,
        "the database " + database + " cannot be opened for writing: " + path + ": " +
            strerror(why) + ": check that its folder exists and that file and folder are writable");
  }
  std::unique_ptr<FileLock> lock(new FileLock(fd));
  if (flock(fd, LOCK_EX | LOCK_NB) != 0) {
    return Status(IMCTL_FAILED_PRECONDITION,
                  "the database " + database +
                      " is in use by another host: stop that one, or name another file in uri");
  }
  return lock;
}

FileLock::~FileLock() { close(fd_); }

Result<std::unique_ptr<Connection>> open_database(const std::string& path) {
  std::unique_ptr<Connection> connection;
  try {
    const bool check = closed_uncleanly(path);
    connection = std::make_unique<Connection>(path, Connection::Mode::kWrite);
    SQLite::Database& db = connection->db();
    keep_log_on_close(*connection, true);
    bool fresh = false;
    if (Status status = check_version(db, path, &fresh); !status.ok()) return status;
    if (check && !fresh) {
      if (Status status = check_tables(*connection, path); !status.ok()) return status;
    }
    if (fresh) db.exec("PRAGMA page_size=" + std::to_string(kPageSize));
    db.exec("PRAGMA secure_delete=OFF");
    const std::string mode = db.execAndGet("PRAGMA journal_mode=WAL").getString();
    if (mode != "wal") {
      return Status(IMCTL_FAILED_PRECONDITION, "the database " + path +
                                                   " cannot keep a write-ahead log (journal_mode " +
                                                   mode + "): put it on a local disk");
    }
    // With a write-ahead log, FULL means: every commit is on the disk when it returns.
    db.exec("PRAGMA synchronous=FULL");
    db.exec("PRAGMA wal_autocheckpoint=" + std::to_string(kCheckpoint));
    // A log that grew under load does not keep the space for ever.
    db.exec("PRAGMA journal_size_limit=" + std::to_string(kLogKept));
    if (fresh) make_tables(db);
    keep_log_on_close(*connection, false);
    return connection;
  } catch (const SQLite::Exception& error) {
    return to_status(error, connection != nullptr ? connection->handle() : nullptr, path);
  }
}

}  // namespace imctl::storage
