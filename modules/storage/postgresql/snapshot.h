// A dump: one transaction's view of everything, on a connection of its own, read page by page in
// the order of the primary keys, so that a page is bounded in bytes.
#ifndef IMCTL_STORAGE_POSTGRESQL_SNAPSHOT_H
#define IMCTL_STORAGE_POSTGRESQL_SNAPSHOT_H

#include <memory>
#include <string>
#include <vector>

#include "connection.h"
#include "engine.h"

namespace imctl::storage {

// `expired`: messages of this time and before are left out. Throws Error.
std::unique_ptr<SnapshotReader> open_snapshot(std::unique_ptr<Connection> connection,
                                              std::string server, int64_t expired);

}  // namespace imctl::storage

#endif  // IMCTL_STORAGE_POSTGRESQL_SNAPSHOT_H
