// `--only`: which parts of a backup are meant.
#ifndef IMCTL_BACKUP_SELECTION_H
#define IMCTL_BACKUP_SELECTION_H

#include <string>
#include <string_view>
#include <vector>

#include "imctl/status.h"
#include "imctl/storage/v1/snapshots.pb.h"

namespace imctl::backup {

class Selection {
 public:
  // "users", "mailboxes", "messages", "records", MODULE/COLLECTION or MODULE/*. None: everything.
  static Result<Selection> parse(const std::vector<std::string>& only);
  bool everything() const { return everything_; }
  // Is this item of a dump meant?
  bool has(storage::v1::SnapshotItem::ItemCase kind, std::string_view item) const;

 private:
  bool everything_ = true;
  bool messages_ = false;
  bool mailboxes_ = false;
  bool records_ = false;
  std::vector<std::string> collections_;  // whole, or with a / at the end
};

}  // namespace imctl::backup

#endif  // IMCTL_BACKUP_SELECTION_H
