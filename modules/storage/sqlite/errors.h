// What an error of SQLite means to a caller.
#ifndef IMCTL_STORAGE_SQLITE_ERRORS_H
#define IMCTL_STORAGE_SQLITE_ERRORS_H

#include <SQLiteCpp/SQLiteCpp.h>

#include <string>

#include "imctl/status.h"

namespace imctl::storage {

// RESOURCE_EXHAUSTED: the disk is full or memory is short. DATA_LOSS: the file is damaged.
// FAILED_PRECONDITION: it cannot be opened or written. UNAVAILABLE: another process holds it, or
// the disk fails. `db` is the connection, which knows the system's error; NULL if there is none.
Status to_status(const SQLite::Exception& error, sqlite3* db, const std::string& path);

// For a file that is damaged.
Status damaged(const std::string& path, const std::string& what);

}  // namespace imctl::storage

#endif  // IMCTL_STORAGE_SQLITE_ERRORS_H
