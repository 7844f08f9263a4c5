// Would it restore? Looks at every record of a backup: that it can be read, that the order is that
// of a dump, that what refers to another is after it, that the counts are those of the trailer.
#ifndef IMCTL_BACKUP_CONTENT_CHECKER_H
#define IMCTL_BACKUP_CONTENT_CHECKER_H

#include <string>
#include <string_view>

#include "file_reader.h"
#include "imctl/backup/v1/format.pb.h"
#include "imctl/status.h"
#include "records.h"

namespace imctl::backup {

class ContentChecker {
 public:
  Status add(const ReadBlock& block);
  Status end(const v1::FileTrailer& trailer) const;

 private:
  Status check_item(std::string_view record);

  storage::v1::SnapshotItem::ItemCase last_ = storage::v1::SnapshotItem::ITEM_NOT_SET;
  storage::v1::SnapshotEnd stored_;
  uint64_t settings_ = 0;
  uint64_t modules_ = 0;
};

}  // namespace imctl::backup

#endif  // IMCTL_BACKUP_CONTENT_CHECKER_H
