#include "selection.h"

#include <algorithm>

namespace imctl::backup {

using storage::v1::SnapshotItem;

Result<Selection> Selection::parse(const std::vector<std::string>& only) {
  Selection selection;
  selection.everything_ = only.empty();
  for (const std::string& what : only) {
    const size_t slash = what.find('/');
    if (what == "users") {
      selection.collections_.emplace_back("user/");
    } else if (what == "messages") {
      selection.messages_ = true;
    } else if (what == "mailboxes") {
      selection.mailboxes_ = true;
    } else if (what == "records") {
      selection.records_ = true;
    } else if (what == "settings") {
      selection.sections_.emplace_back();
    } else if (what.starts_with("settings/") && slash + 1 < what.size()) {
      selection.sections_.push_back(what.substr(slash + 1));
    } else if (slash != std::string::npos && slash > 0 && slash + 1 < what.size()) {
      selection.collections_.push_back(what.ends_with("/*") ? what.substr(0, what.size() - 1)
                                                            : what);
    } else {
      return Status(IMCTL_INVALID_ARGUMENT,
                    "only: `" + what +
                        "` is nothing of a backup: there are users, mailboxes, "
                        "messages, records, MODULE/COLLECTION and MODULE/*, settings and "
                        "settings/SECTION");
    }
  }
  return selection;
}

bool Selection::has_setting(const std::string& key) const {
  const std::string section = key.substr(0, key.find('.'));
  return std::any_of(sections_.begin(), sections_.end(), [&](const std::string& wanted) {
    return wanted.empty() || wanted == section;
  });
}

bool Selection::has(SnapshotItem::ItemCase kind, std::string_view item) const {
  if (everything_) return true;
  if (kind == SnapshotItem::kMessage) return messages_;
  if (kind == SnapshotItem::kMailbox || kind == SnapshotItem::kDelivery) return mailboxes_;
  if (records_ || collections_.empty()) return records_;
  SnapshotItem parsed;
  if (!parsed.ParseFromArray(item.data(), static_cast<int>(item.size()))) return false;
  const std::string& name =
      parsed.has_record() ? parsed.record().collection() : parsed.collection().collection();
  for (const std::string& wanted : collections_) {
    if (wanted.ends_with('/') ? name.starts_with(wanted) : name == wanted) return true;
  }
  return false;
}

}  // namespace imctl::backup
