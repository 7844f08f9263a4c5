#include "connection.h"

#include <sqlite3.h>

namespace imctl::storage {
namespace {

// Only for the moments in which SQLite itself locks the file.
constexpr int kBusyTimeoutMs = 5000;

// A few kilobytes each.
constexpr size_t kMostStatements = 1000;

}  // namespace

Connection::Connection(const std::string& path, Mode mode)
    : db_(path, (mode == Mode::kWrite ? SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE
                                      : SQLITE_OPEN_READONLY) |
                    SQLITE_OPEN_NOMUTEX) {
  db_.setBusyTimeout(kBusyTimeoutMs);
  db_.exec("PRAGMA temp_store=MEMORY");
}

SQLite::Statement& Connection::statement(const std::string& sql) {
  std::unique_ptr<SQLite::Statement>& found = statements_[sql];
  if (found == nullptr) {
    try {
      found = std::make_unique<SQLite::Statement>(db_, sql);
    } catch (...) {
      statements_.erase(sql);
      throw;
    }
  }
  return *found;
}

void Connection::trim() {
  if (statements_.size() > kMostStatements) statements_.clear();
}

void Connection::forget(std::string_view table) {
  std::erase_if(statements_,
                [&](const auto& entry) { return entry.first.find(table) != std::string::npos; });
}

}  // namespace imctl::storage
