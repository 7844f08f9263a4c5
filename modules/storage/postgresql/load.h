// Taking a dump in. While one is taken in, `meta` says so and no other host writes (schema.h).
#ifndef IMCTL_STORAGE_POSTGRESQL_LOAD_H
#define IMCTL_STORAGE_POSTGRESQL_LOAD_H

#include <cstdint>
#include <memory>
#include <string>

#include "buckets.h"
#include "transaction.h"

namespace imctl::storage {

// Writes a part in transactions of its own. `load` is which load this is, set by the part that
// begins one: if another host began one since, this one fails. Gives whether a load is under way
// now.
bool load_part(Transaction* txn, Buckets* buckets, const std::string& channel, LoadSnapshot* work,
               uint64_t* load);

// A load that is to replace what is there: one transaction, from its begin to its end, on a
// connection of its own. Meanwhile nobody writes. Destroyed before its end, it changed nothing.
class Replacement {
 public:
  // Begins it.
  Replacement(std::unique_ptr<Connection> connection, std::string schema);
  // Writes a part. Gives whether that was the last, and all of it is in place.
  bool load(Transaction txn, const std::string& channel, const LoadSnapshot& work);
  // Ends it with what is there as it was, but that it says where all was moved to.
  void move(const std::string& to);
  // May it have been committed though its last part failed?
  bool committing() const { return committing_; }
  Connection* connection() { return connection_.get(); }

 private:
  const std::unique_ptr<Connection> connection_;
  const std::string schema_;
  Buckets buckets_;
  bool committing_ = false;
};

}  // namespace imctl::storage

#endif  // IMCTL_STORAGE_POSTGRESQL_LOAD_H
