// The tables at work: what one connection writes. One thread at a time.
#ifndef IMCTL_STORAGE_SQLITE_STORE_H
#define IMCTL_STORAGE_SQLITE_STORE_H

#include <SQLiteCpp/SQLiteCpp.h>

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "config.h"
#include "imctl/status.h"
#include "message.h"

namespace imctl::storage {

// Unix time in milliseconds, of what was stored so long ago that it is past its retention period
// now.
int64_t expired_since(std::chrono::milliseconds retention);

class Store {
 public:
  // Opens the database; see schema.h.
  static Result<std::unique_ptr<Store>> open(const Options& options);

  // Runs `work` in a transaction that is on the disk when this returns OK. If `work` or the commit
  // throws, nothing of it is done.
  Status transaction(const std::function<void()>& work);

  // Moves what the write-ahead log holds into the database file and gives the log's space back, if
  // nobody reads it just now and there is space. For a full disk.
  void shrink_log() noexcept;

  // The rest runs inside a transaction and throws SQLite::Exception.

  // Stores rows in order up to the first whose id is taken by other content; gives how many are
  // stored now, those that were there already with the same content counted.
  size_t put(const std::vector<Row>& rows);

  // Removes by id; gives how many were there, not counting what is past its retention period.
  size_t remove(const std::vector<std::string>& ids);

  // Removes at most `limit` messages stored at or before `since`; gives how many.
  size_t clean(int64_t since, size_t limit);

 private:
  Store(const Options& options, std::unique_ptr<SQLite::Database> db);
  bool put_one(const Row& row, int64_t now, int64_t expired);

  std::string path_;
  std::chrono::milliseconds retention_;
  std::unique_ptr<SQLite::Database> db_;
  SQLite::Statement insert_;
  SQLite::Statement find_;
  SQLite::Statement replace_;
  SQLite::Statement remove_;
  SQLite::Statement clean_;
};

}  // namespace imctl::storage

#endif  // IMCTL_STORAGE_SQLITE_STORE_H
