#include "content_checker.h"

#include "api/grpc/cloudevents/cloudevent.pb.h"
#include "imctl/storage/v1/mailboxes.pb.h"

namespace imctl::backup {
namespace {

using storage::v1::SnapshotItem;

Status bad(const std::string& what) { return {IMCTL_DATA_LOSS, what}; }

template <class Message>
bool parses(std::string_view bytes) {
  Message message;
  return message.ParseFromArray(bytes.data(), static_cast<int>(bytes.size()));
}

}  // namespace

Status ContentChecker::check_item(std::string_view record) {
  SnapshotItem item;
  if (!item.ParseFromArray(record.data(), static_cast<int>(record.size()))) {
    return bad("a record cannot be read");
  }
  const auto kind = item.item_case();
  if (kind == SnapshotItem::ITEM_NOT_SET || kind == SnapshotItem::kBegin ||
      kind == SnapshotItem::kEnd || kind < last_) {
    return bad("the records have another order than a storage writes them");
  }
  last_ = kind;
  count(kind, &stored_);
  bool good = true;
  switch (kind) {
    case SnapshotItem::kMessage: good = parses<pb::CloudEvent>(item.message().event()); break;
    case SnapshotItem::kMailbox: good = !item.mailbox().state().mailbox().empty(); break;
    case SnapshotItem::kDelivery:
      good = parses<storage::v1::Message>(item.delivery().message()) &&
             item.delivery().positions_size() > 0;
      break;
    case SnapshotItem::kCollection: good = !item.collection().collection().empty(); break;
    case SnapshotItem::kRecord:
      good = !item.record().collection().empty() && !item.record().record().key().empty();
      break;
    default: break;
  }
  return good ? Status() : bad("a record is not what a storage writes");
}

Status ContentChecker::add(const ReadBlock& block) {
  uint64_t records = 0;
  Status status = for_each_record(*block.bytes, [&](std::string_view, std::string_view record) {
    ++records;
    switch (block.kind) {
      case v1::BLOCK_KIND_STORAGE: return check_item(record);
      case v1::BLOCK_KIND_SETTINGS:
        ++settings_;
        return parses<v1::SavedSetting>(record) ? Status() : bad("a setting cannot be read");
      case v1::BLOCK_KIND_MODULES:
        ++modules_;
        return parses<v1::SavedModule>(record) ? Status() : bad("a module cannot be read");
      default: return bad("there are records of a kind that is not known");
    }
  });
  if (status.ok() && records != block.records) status = bad("a block has another count");
  return status;
}

Status ContentChecker::end(const v1::FileTrailer& trailer) const {
  if (same(stored_, trailer.stored()) && settings_ == trailer.settings() &&
      modules_ == trailer.modules()) {
    return {};
  }
  return bad("it does not hold what its trailer says");
}

}  // namespace imctl::backup
