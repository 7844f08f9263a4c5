// A load that takes the place of what a storage holds. From its begin to its end nobody writes
// there; destroyed before the end, it changed nothing.
#ifndef IMCTL_BACKUP_REPLACING_LOAD_H
#define IMCTL_BACKUP_REPLACING_LOAD_H

#include <string>
#include <string_view>

#include "imctl/sdk.h"
#include "imctl/storage/v1/snapshots.pb.h"

namespace imctl::backup {

// The storage that is bound, or one that is named.
struct Storage {
  // `at`: "", "@MODULE" or "@grpc://HOST:PORT".
  Storage(const Host& h, const std::string& at)
      : host(h),
        dump(h, "/imctl.storage.v1.Snapshots/Dump" + at),
        load(h, "/imctl.storage.v1.Snapshots/Load" + at) {}

  // Is there nothing in it? `replacing`: as in DumpRequest.
  Task<Result<bool>> is_empty(bool replacing) const;

  const Host host;
  const Method<storage::v1::DumpRequest, Buffer> dump;
  const Method<Buffer, Buffer> load;
};

class ReplacingLoad {
 public:
  explicit ReplacingLoad(const Storage& storage) : storage_(storage), load_(storage.load) {}

  // Once it is OK, nobody writes. Gives whether the storage is empty.
  Task<Result<bool>> begin(bool keep_epochs);
  // The next item, as it stands in a SnapshotChunk; then, if it is full, send().
  void add(std::string_view whole, storage::v1::SnapshotItem::ItemCase kind);
  bool full() const;
  Task<Status> send();
  // What was added takes the place of what was there.
  Task<Status> end();
  // Instead of items: what is there stays, and nobody writes there any more, since it is at `to`;
  // empty: they write again.
  Task<Status> moved(const std::string& to);

  const storage::v1::SnapshotEnd& counts() const { return counts_; }  // of what was added

 private:
  Task<Status> finish(const storage::v1::SnapshotItem& last);

  const Storage& storage_;
  ClientStream<Buffer, Buffer> load_;
  storage::v1::SnapshotEnd counts_;
  std::string piece_;
};

}  // namespace imctl::backup

#endif  // IMCTL_BACKUP_REPLACING_LOAD_H
