#include "records.h"

namespace imctl::backup {
namespace {

using storage::v1::SnapshotItem;

constexpr char kTag = 0x0A;

bool take_varint(std::string_view* from, uint64_t* value) {
  *value = 0;
  for (unsigned shift = 0; shift < 64 && !from->empty(); shift += 7) {
    const auto byte = static_cast<unsigned char>(from->front());
    from->remove_prefix(1);
    *value |= static_cast<uint64_t>(byte & 0x7FU) << shift;
    if ((byte & 0x80U) == 0) return true;
  }
  return false;
}

}  // namespace

Status for_each_record(
    std::string_view bytes,
    const std::function<Status(std::string_view whole, std::string_view record)>& each) {
  while (!bytes.empty()) {
    const std::string_view start = bytes;
    uint64_t size = 0;
    const bool tag = bytes.front() == kTag;
    bytes.remove_prefix(1);
    if (!tag || !take_varint(&bytes, &size) || size > bytes.size()) {
      return {IMCTL_DATA_LOSS, "there are no records where they should be"};
    }
    const std::string_view record = bytes.substr(0, size);
    bytes.remove_prefix(size);
    if (Status status = each(start.substr(0, start.size() - bytes.size()), record); !status.ok()) {
      return status;
    }
  }
  return {};
}

void append_record(std::string_view record, std::string* to) {
  to->push_back(kTag);
  uint64_t size = record.size();
  for (; size >= 0x80; size >>= 7U) to->push_back(static_cast<char>(size | 0x80U));
  to->push_back(static_cast<char>(size));
  to->append(record);
}

SnapshotItem::ItemCase kind_of(std::string_view item) {
  if (item.empty()) return SnapshotItem::ITEM_NOT_SET;
  const auto first = static_cast<unsigned char>(item.front());
  const unsigned field = first >> 3U;
  if ((first & 7U) != 2 || field > SnapshotItem::kEnd) return SnapshotItem::ITEM_NOT_SET;
  return static_cast<SnapshotItem::ItemCase>(field);
}

void count(SnapshotItem::ItemCase kind, storage::v1::SnapshotEnd* counts) {
  switch (kind) {
    case SnapshotItem::kMessage: counts->set_messages(counts->messages() + 1); break;
    case SnapshotItem::kMailbox: counts->set_mailboxes(counts->mailboxes() + 1); break;
    case SnapshotItem::kDelivery: counts->set_deliveries(counts->deliveries() + 1); break;
    case SnapshotItem::kCollection: counts->set_collections(counts->collections() + 1); break;
    case SnapshotItem::kRecord: counts->set_records(counts->records() + 1); break;
    default: break;
  }
}

bool same(const storage::v1::SnapshotEnd& a, const storage::v1::SnapshotEnd& b) {
  return a.messages() == b.messages() && a.mailboxes() == b.mailboxes() &&
         a.deliveries() == b.deliveries() && a.collections() == b.collections() &&
         a.records() == b.records();
}

uint64_t sum(const storage::v1::SnapshotEnd& counts) {
  return counts.messages() + counts.mailboxes() + counts.deliveries() + counts.collections() +
         counts.records();
}

}  // namespace imctl::backup
