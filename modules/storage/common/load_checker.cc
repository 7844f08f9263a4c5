#include "load_checker.h"

#include <algorithm>
#include <string>

#include "engine.h"

namespace imctl::storage {
namespace {

constexpr uint32_t kFormat = 1;
// Of the name of a place that all was moved to.
constexpr size_t kMaxPlace = 1000;

Status bad(const std::string& text) { return {IMCTL_INVALID_ARGUMENT, "the dump " + text}; }

}  // namespace

Status LoadChecker::begin(const v1::SnapshotBegin& begin) {
  if (begin.format() != kFormat) {
    return bad("is of format " + std::to_string(begin.format()) + "; this storage reads format " +
               std::to_string(kFormat));
  }
  keep_ = begin.keep_epochs();
  replace_ = begin.replace();
  epoch_ = new_epoch(0);
  // Writes are not so many that counting from one reaches it: about a million a second.
  constexpr unsigned kMillion = 20;
  revision_ = static_cast<uint64_t>(unix_ms() / 1000) << kMillion;
  return {};
}

Status LoadChecker::end(const v1::SnapshotEnd& end) {
  if (end.messages() == counts_.messages() && end.mailboxes() == counts_.mailboxes() &&
      end.deliveries() == counts_.deliveries() && end.collections() == counts_.collections() &&
      end.records() == counts_.records()) {
    return {};
  }
  return {IMCTL_DATA_LOSS, "the dump does not hold what its end says: parts of it are missing"};
}

// The same for the same epoch, and larger than any that is known now.
uint64_t LoadChecker::renewed(uint64_t epoch) const {
  if (keep_) return epoch;
  return epoch < epoch_ ? epoch_ : epoch + 1;
}

Status LoadChecker::next(v1::SnapshotChunk* chunk) {
  for (v1::SnapshotItem& item : *chunk->mutable_items()) {
    const auto kind = item.item_case();
    if (last_ == v1::SnapshotItem::ITEM_NOT_SET) {
      if (kind != v1::SnapshotItem::kBegin) return bad("does not start with `begin`");
    } else if (kind == v1::SnapshotItem::kBegin || kind < last_ || ended() ||
               (kind == v1::SnapshotItem::kMoved && !may_move())) {
      return bad("has its items in another order than a storage writes them");
    }
    last_ = kind;
    Status status;
    switch (kind) {
      case v1::SnapshotItem::kBegin: status = begin(item.begin()); break;
      case v1::SnapshotItem::kMessage: counts_.set_messages(counts_.messages() + 1); break;
      case v1::SnapshotItem::kMailbox: {
        counts_.set_mailboxes(counts_.mailboxes() + 1);
        v1::MailboxState* state = item.mutable_mailbox()->mutable_state();
        state->set_epoch(renewed(state->epoch()));
        break;
      }
      case v1::SnapshotItem::kDelivery:
        counts_.set_deliveries(counts_.deliveries() + 1);
        for (v1::Position& position : *item.mutable_delivery()->mutable_positions()) {
          position.set_epoch(renewed(position.epoch()));
        }
        break;
      case v1::SnapshotItem::kCollection: {
        counts_.set_collections(counts_.collections() + 1);
        v1::SnapshotCollection* collection = item.mutable_collection();
        if (!keep_) {
          collection->set_revision(std::max(revision_, collection->revision() + 1));
        }
        break;
      }
      case v1::SnapshotItem::kRecord: counts_.set_records(counts_.records() + 1); break;
      case v1::SnapshotItem::kEnd: status = end(item.end()); break;
      case v1::SnapshotItem::kMoved:
        if (item.moved().to().size() > kMaxPlace) status = bad("is moved to too long a name");
        break;
      case v1::SnapshotItem::ITEM_NOT_SET: status = bad("has items of a kind that is not known");
    }
    if (!status.ok()) return status;
  }
  return {};
}

}  // namespace imctl::storage
