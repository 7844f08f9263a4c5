#include "errors.h"

#include <sqlite3.h>

#include <cerrno>

namespace imctl::storage {
namespace {

bool means_no_space(int system_error) {
  return system_error == ENOSPC || system_error == EDQUOT || system_error == EFBIG;
}

// SQLite says SQLITE_FULL for ENOSPC alone; that a quota or a limit is reached, only the system's
// error tells: the last one of the connection, of its database file, or of its log.
bool no_space(sqlite3* db) {
  if (db == nullptr) return false;
  if (means_no_space(sqlite3_system_errno(db))) return true;
  for (int pointer : {SQLITE_FCNTL_FILE_POINTER, SQLITE_FCNTL_JOURNAL_POINTER}) {
    sqlite3_file* file = nullptr;
    int system_error = 0;
    if (sqlite3_file_control(db, "main", pointer, static_cast<void*>(&file)) == SQLITE_OK &&
        file != nullptr && file->pMethods != nullptr &&
        file->pMethods->xFileControl(file, SQLITE_FCNTL_LAST_ERRNO, &system_error) == SQLITE_OK &&
        means_no_space(system_error)) {
      return true;
    }
  }
  return false;
}

Status no_space_for(const std::string& database, const std::string& why) {
  return {IMCTL_RESOURCE_EXHAUSTED,
          "there is no space for " + database + why + ": free some, then try again"};
}

}  // namespace

Status damaged(const std::string& path, const std::string& what) {
  return {IMCTL_DATA_LOSS,
          "the database " + path + " is damaged (" + what +
              "). It was left as it is: put a backup in its place, or recover what is "
              "readable with `sqlite3 " +
              path + " .recover`"};
}

Status to_status(const SQLite::Exception& error, sqlite3* db, const std::string& path) {
  const std::string database = "the database " + path;
  const std::string why = " (" + std::string(error.what()) + ", SQLite code " +
                          std::to_string(error.getExtendedErrorCode()) + ")";
  switch (error.getErrorCode() & 0xFF) {
    case SQLITE_FULL: return no_space_for(database, why);
    case SQLITE_IOERR:
      if (no_space(db)) return no_space_for(database, why);
      return {IMCTL_UNAVAILABLE, "the disk fails under " + database + why +
                                     ": look into the system's log, then try again"};
    case SQLITE_NOMEM:
      return {IMCTL_RESOURCE_EXHAUSTED, "no memory for " + database + ": try again"};
    case SQLITE_CORRUPT:
    case SQLITE_NOTADB: return damaged(path, error.what());
    case SQLITE_CANTOPEN:
      if (no_space(db)) return no_space_for(database, why);
      [[fallthrough]];
    case SQLITE_READONLY:
    case SQLITE_PERM:
      return {IMCTL_FAILED_PRECONDITION,
              database + " cannot be opened for writing" + why +
                  ": check that its folder exists and that file and folder are writable"};
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
      return {IMCTL_UNAVAILABLE, "another process holds " + database + why + ": try again"};
    case SQLITE_TOOBIG:
      return {IMCTL_INVALID_ARGUMENT, "a value is too large for " + database + why};
    default: return {IMCTL_INTERNAL, database + " refuses" + why};
  }
}

}  // namespace imctl::storage
