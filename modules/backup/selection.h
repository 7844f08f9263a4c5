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
  // "users", "mailboxes", "messages", "records", MODULE/COLLECTION or MODULE/*; "settings" or
  // settings/SECTION. None: everything that is stored.
  static Result<Selection> parse(const std::vector<std::string>& only);
  // All that is stored, or anything of that?
  bool everything() const { return everything_; }
  bool stored() const {
    return everything_ || messages_ || mailboxes_ || records_ || !collections_.empty();
  }
  bool settings() const { return !sections_.empty(); }
  // Is this setting meant, SECTION.KEY?
  bool has_setting(const std::string& key) const;
  // Is this item of a dump meant?
  bool has(storage::v1::SnapshotItem::ItemCase kind, std::string_view item) const;

 private:
  bool everything_ = true;
  bool messages_ = false;
  bool mailboxes_ = false;
  bool records_ = false;
  std::vector<std::string> collections_;  // whole, or with a / at the end
  std::vector<std::string> sections_;     // of settings; "": all
};

}  // namespace imctl::backup

#endif  // IMCTL_BACKUP_SELECTION_H
