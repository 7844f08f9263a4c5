// Names that more than one part of the back end uses.
#ifndef IMCTL_STORAGE_SQLITE_NAMES_H
#define IMCTL_STORAGE_SQLITE_NAMES_H

#include <cstddef>

namespace imctl::storage {

// The log of the messages in mailboxes.
inline constexpr char kDeliveries[] = "deliveries";

// What an entry of a page takes beside its bytes, at most.
inline constexpr size_t kEntryOverhead = 64;

}  // namespace imctl::storage

#endif  // IMCTL_STORAGE_SQLITE_NAMES_H
