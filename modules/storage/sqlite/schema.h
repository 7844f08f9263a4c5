// Opening the database file: its format, its settings, and what is refused.
#ifndef IMCTL_STORAGE_SQLITE_SCHEMA_H
#define IMCTL_STORAGE_SQLITE_SCHEMA_H

#include <SQLiteCpp/SQLiteCpp.h>

#include <memory>
#include <string>

#include "imctl/status.h"

namespace imctl::storage {

// Written to the file as PRAGMA user_version; raised with every change of the tables.
constexpr int kSchemaVersion = 1;

// Written to the file as PRAGMA application_id: "imct".
constexpr int kApplicationId = 0x696D6374;

// How long a connection waits for another process before the call fails.
constexpr int kBusyTimeoutMs = 5000;

// Opens `path` for writing and makes what is missing: the file, and
//
//   <table>(id TEXT, ts INTEGER, d BLOB)   id: the message's; ts: when stored, Unix time in ms;
//                                          d: the serialized pb.CloudEvent
//
// An id's message is found by a unique index, and what is old by one on ts. Refuses a file of
// another program or of a newer version, and, if the last user did not close it properly, one that
// SQLite's quick_check finds damaged. A refused file is left as it is.
Result<std::unique_ptr<SQLite::Database>> open_for_writing(const std::string& path,
                                                           const std::string& table);

// Opens `path`, which is open for writing already, for reading.
std::unique_ptr<SQLite::Database> open_for_reading(const std::string& path);

}  // namespace imctl::storage

#endif  // IMCTL_STORAGE_SQLITE_SCHEMA_H
