// The items of a dump, read one after another.
#ifndef IMCTL_BACKUP_ITEMS_H
#define IMCTL_BACKUP_ITEMS_H

#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "imctl/sdk.h"
#include "records.h"

namespace imctl::backup {

// Of one chunk after another, which it holds.
class Items {
 public:
  bool empty() const { return at_ == items_.size(); }
  void fill(Buffer chunk) {
    held_ = std::move(chunk);
    fill(held_.view());
  }
  void fill(std::string chunk) {
    text_ = std::move(chunk);
    fill(std::string_view(text_));
  }
  Status status() const { return status_; }
  storage::v1::SnapshotItem::ItemCase kind() const { return kind_of(items_[at_].second); }
  std::string_view whole() const { return items_[at_].first; }
  std::string_view item() const { return items_[at_].second; }
  void next() { ++at_; }

 private:
  void fill(std::string_view bytes) {
    items_.clear();
    at_ = 0;
    status_ = for_each_record(bytes, [this](std::string_view whole, std::string_view record) {
      items_.emplace_back(whole, record);
      return Status();
    });
  }

  Buffer held_;
  std::string text_;
  std::vector<std::pair<std::string_view, std::string_view>> items_;
  size_t at_ = 0;
  Status status_;
};

}  // namespace imctl::backup

#endif  // IMCTL_BACKUP_ITEMS_H
