// Taking a dump in. While one is taken in, `meta` says so and no other host writes (schema.h).
#ifndef IMCTL_STORAGE_POSTGRESQL_LOAD_H
#define IMCTL_STORAGE_POSTGRESQL_LOAD_H

#include <cstdint>

#include "buckets.h"
#include "transaction.h"

namespace imctl::storage {

// Writes a part in transactions of its own. `load` is which load this is, set by the part that
// begins one: if another host began one since, this one fails. Gives whether a load is under way
// now.
bool load_part(Transaction* txn, Buckets* buckets, const std::string& channel, LoadSnapshot* work,
               uint64_t* load);

}  // namespace imctl::storage

#endif  // IMCTL_STORAGE_POSTGRESQL_LOAD_H
