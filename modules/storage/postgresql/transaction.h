// What the parts of a commit share.
#ifndef IMCTL_STORAGE_POSTGRESQL_TRANSACTION_H
#define IMCTL_STORAGE_POSTGRESQL_TRANSACTION_H

#include <cstdint>
#include <set>
#include <string>
#include <string_view>

#include "connection.h"
#include "engine.h"
#include "key.h"
#include "schema.h"
#include "watchers.h"

namespace imctl::storage {

// Numbers that nothing else in the database has.
class Numbers {
 public:
  // The first of `count`.
  int64_t take(Connection* db, int64_t count);
  // To be called when the connection is lost: a server that crashed may give them again.
  void forget() { left_ = 0; }

 private:
  int64_t next_ = 0;
  int64_t left_ = 0;
};

// What other hosts are to be told with the commit.
class Notices {
 public:
  void add(Watchers::Kind kind, std::string_view name);
  // Everything may have changed, and whether a snapshot is being loaded.
  void add_all() { all_ = true; }
  void queue(Connection* db, const std::string& channel) const;

 private:
  std::set<std::string> payloads_;
  bool all_ = false;
};

// How hosts call what they tell each other about; `*` is everything.
inline constexpr std::string_view kAll = "*";

struct Transaction {
  Connection* db;
  const Database* database;
  Retention retention;
  int64_t now = unix_ms();
  // Whether something that is mostly new may be there already. Not careful is faster, and fails
  // with kUniqueViolation.
  bool careful = false;
  Numbers* numbers;
  Notices notices;

  // Messages of this time and before are not there any more.
  int64_t expired() const { return now - retention.messages.count(); }
  Key key(std::string_view id) const { return make_key(database->secret, id); }
};

}  // namespace imctl::storage

#endif  // IMCTL_STORAGE_POSTGRESQL_TRANSACTION_H
