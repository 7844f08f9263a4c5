// The tables, their version, and what is known of the database when it was connected to.
#ifndef IMCTL_STORAGE_POSTGRESQL_SCHEMA_H
#define IMCTL_STORAGE_POSTGRESQL_SCHEMA_H

#include <chrono>
#include <cstdint>
#include <string>

#include "connection.h"

namespace imctl::storage {

// Numbers of stored messages are given out in blocks of so many.
inline constexpr int64_t kNumbers = int64_t{1} << 20;

struct Database {
  std::string secret;     // of the ids' hash
  int64_t bucket_ms = 0;  // how much time one table of messages is for
  bool loading = false;
  uint64_t load = 0;  // which load it is
};

// Makes the tables, or brings them to this version; one host at a time, all or nothing. Throws
// Refused if they are of a newer version. `retention` decides about new ones only.
void migrate(Connection* db, const std::string& schema, const std::string& server,
             std::chrono::milliseconds retention);

// Throws Refused if the tables are of another version.
Database read_database(Connection* db, const std::string& server);

// Tables like those of `schema`, but empty, in a schema beside it, and this transaction works on
// them: `db` is in one, and has excluded the others.
void stage(Connection* db, const std::string& schema, const Database& database);
// They take the place of those, which are kept aside. In the same transaction.
void put_in_place(Connection* db, const std::string& schema);
// What was kept aside, for good. Throws Error kLockNotAvailable while somebody still reads it.
void remove_replaced(Connection* db, const std::string& schema);

// Statements in every transaction that writes: nobody may write while a snapshot is being loaded.
std::string enter_statement();
// The other side: nobody else is in, or gets in before the end of this transaction.
std::string exclude_statement();

}  // namespace imctl::storage

#endif  // IMCTL_STORAGE_POSTGRESQL_SCHEMA_H
