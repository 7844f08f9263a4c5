// Records as they stand in blocks, one after another: 0x0A, the length as a varint, the bytes. That
// is how protobuf has the elements of a repeated field 1, so a chunk of a dump is read, and
// written, without taking its items apart.
#ifndef IMCTL_BACKUP_RECORDS_H
#define IMCTL_BACKUP_RECORDS_H

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>

#include "imctl/status.h"
#include "imctl/storage/v1/snapshots.pb.h"

namespace imctl::backup {

// Calls `each` with every record, with its tag and length (`whole`) and without (`record`), until
// it gives an error. DATA_LOSS: these are no records.
Status for_each_record(
    std::string_view bytes,
    const std::function<Status(std::string_view whole, std::string_view record)>& each);

void append_record(std::string_view record, std::string* to);

// Which kind of item a record is, by its first byte: ITEM_NOT_SET if it is none.
storage::v1::SnapshotItem::ItemCase kind_of(std::string_view item);

// One more of that kind.
void count(storage::v1::SnapshotItem::ItemCase kind, storage::v1::SnapshotEnd* counts);
bool same(const storage::v1::SnapshotEnd& a, const storage::v1::SnapshotEnd& b);
uint64_t sum(const storage::v1::SnapshotEnd& counts);

}  // namespace imctl::backup

#endif  // IMCTL_BACKUP_RECORDS_H
