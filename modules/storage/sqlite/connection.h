// A connection to the database file: its settings, and statements that are prepared once.
#ifndef IMCTL_STORAGE_SQLITE_CONNECTION_H
#define IMCTL_STORAGE_SQLITE_CONNECTION_H

#include <SQLiteCpp/SQLiteCpp.h>

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <unordered_map>

namespace imctl::storage {

// One thread at a time. Throws SQLite::Exception.
class Connection {
 public:
  enum class Mode { kWrite, kRead };

  Connection(const std::string& path, Mode mode);
  Connection(const Connection&) = delete;
  Connection& operator=(const Connection&) = delete;

  SQLite::Database& db() { return db_; }
  sqlite3* handle() { return db_.getHandle(); }
  // The prepared statement of this text.
  SQLite::Statement& statement(const std::string& sql);
  // Forgets statements of tables that are dropped.
  void forget(std::string_view table);
  // Forgets all if they are very many: each bucket has its own. For when none is in use.
  void trim();

 private:
  SQLite::Database db_;
  std::unordered_map<std::string, std::unique_ptr<SQLite::Statement>> statements_;
};

// One use of a statement: it is reset when this goes, however that comes. Blobs that are bound are
// not copied and must be there until then.
class Query {
 public:
  explicit Query(SQLite::Statement& statement) : statement_(statement) {}
  Query(Connection& connection, const std::string& sql) : Query(connection.statement(sql)) {}
  Query(const Query&) = delete;
  Query& operator=(const Query&) = delete;
  ~Query() { (void)statement_.tryReset(); }

  // Binds the next parameter.
  Query& operator<<(int64_t value) {
    statement_.bind(++bound_, value);
    return *this;
  }
  Query& operator<<(uint64_t value) { return *this << static_cast<int64_t>(value); }
  Query& operator<<(int value) { return *this << static_cast<int64_t>(value); }
  Query& operator<<(std::string_view blob) {
    // Not NULL for an empty one.
    statement_.bindNoCopy(++bound_, blob.data() == nullptr ? "" : blob.data(),
                          static_cast<int>(blob.size()));
    return *this;
  }

  // The next row; false: there is none.
  bool step() { return statement_.executeStep(); }
  // For a statement without rows; gives how many it changed.
  size_t run() {
    statement_.exec();
    return static_cast<size_t>(statement_.getChanges());
  }

  int64_t number(int column) { return sqlite_column(column).getInt64(); }
  uint64_t count(int column) { return static_cast<uint64_t>(number(column)); }
  // Until the next step.
  std::string_view blob(int column) {
    SQLite::Column value = sqlite_column(column);
    const void* data = value.getBlob();
    return {static_cast<const char*>(data), static_cast<size_t>(value.getBytes())};
  }
  std::string text(int column) { return std::string(blob(column)); }

 private:
  SQLite::Column sqlite_column(int column) { return statement_.getColumn(column); }

  SQLite::Statement& statement_;
  int bound_ = 0;
};

}  // namespace imctl::storage

#endif  // IMCTL_STORAGE_SQLITE_CONNECTION_H
