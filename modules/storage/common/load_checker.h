// Looks at a dump on its way in: is it whole, and what must not be taken over as it was.
#ifndef IMCTL_STORAGE_LOAD_CHECKER_H
#define IMCTL_STORAGE_LOAD_CHECKER_H

#include <cstdint>

#include "imctl/status.h"
#include "imctl/storage/v1/snapshots.pb.h"

namespace imctl::storage {

class LoadChecker {
 public:
  // The next chunk; gives its mailboxes new epochs and its collections new revisions, unless the
  // dump says keep_epochs. INVALID_ARGUMENT: not in the order of snapshots.proto, or of a format
  // that is not known. DATA_LOSS: the counts at the end are others.
  Status next(v1::SnapshotChunk* chunk);

  // Is it to take the place of what is there?
  bool replaces() const { return replace_; }
  bool ended() const {
    return last_ == v1::SnapshotItem::kEnd || last_ == v1::SnapshotItem::kMoved;
  }
  const v1::SnapshotEnd& counts() const { return counts_; }

 private:
  Status begin(const v1::SnapshotBegin& begin);
  Status end(const v1::SnapshotEnd& end);
  uint64_t renewed(uint64_t epoch) const;
  // Nothing but a `begin` that replaces was there.
  bool may_move() const { return replace_ && last_ == v1::SnapshotItem::kBegin; }

  v1::SnapshotItem::ItemCase last_ = v1::SnapshotItem::ITEM_NOT_SET;
  v1::SnapshotEnd counts_;
  bool keep_ = false;
  bool replace_ = false;
  uint64_t epoch_ = 0;
  uint64_t revision_ = 0;
};

}  // namespace imctl::storage

#endif  // IMCTL_STORAGE_LOAD_CHECKER_H
