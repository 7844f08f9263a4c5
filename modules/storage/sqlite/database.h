// The database file: its format, its settings, and what is refused.
#ifndef IMCTL_STORAGE_SQLITE_DATABASE_H
#define IMCTL_STORAGE_SQLITE_DATABASE_H

#include <memory>
#include <string>

#include "connection.h"
#include "imctl/status.h"

namespace imctl::storage {

// Written to the file as PRAGMA user_version; raised with every change of the tables.
constexpr int kSchemaVersion = 3;

// Written to the file as PRAGMA application_id: "imct".
constexpr int kApplicationId = 0x696D6374;

// One process writes a file: the bucket lists and filters that it has in memory are about that
// file. The lock is of a file beside it, and goes with the process however that ends.
class FileLock {
 public:
  static Result<std::unique_ptr<FileLock>> take(const std::string& database);
  FileLock(const FileLock&) = delete;
  FileLock& operator=(const FileLock&) = delete;
  ~FileLock();

 private:
  explicit FileLock(int fd) : fd_(fd) {}
  const int fd_;
};

// Opens `path` for writing and makes what is missing: the file, and the tables (see log.h,
// mailboxes.h, records.h, and `meta`, which has a few names with values). Refuses a file of another
// program or of a newer version, and, if the last user did not close it properly, one that SQLite's
// quick_check finds damaged. A refused file is left as it is.
Result<std::unique_ptr<Connection>> open_database(const std::string& path);

}  // namespace imctl::storage

#endif  // IMCTL_STORAGE_SQLITE_DATABASE_H
