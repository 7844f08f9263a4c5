#include "snapshot.h"

#include <algorithm>
#include <utility>

#include "log.h"
#include "mailboxes.h"
#include "names.h"
#include "records.h"
#include "unix_time.h"

namespace imctl::storage {
namespace {

using Items = std::vector<v1::SnapshotItem>;

void take(size_t bytes, size_t* left) { *left -= std::min(*left, bytes + kEntryOverhead); }

}  // namespace

Snapshot::Snapshot(std::unique_ptr<Connection> connection, std::string messages, int64_t since)
    : connection_(std::move(connection)), messages_(std::move(messages)), since_(since) {
  buckets_ = buckets(messages_);
}

std::vector<int64_t> Snapshot::buckets(const std::string& log) {
  std::vector<int64_t> found;
  Query query(*connection_, "SELECT bucket FROM buckets WHERE log=? ORDER BY bucket");
  query << log;
  while (query.step()) found.push_back(query.number(0));
  return found;
}

void Snapshot::next(size_t bytes, Items* items) {
  size_t left = bytes;
  while (left > 0 && part_ != Part::kEnd) {
    const size_t before = items->size();
    step(items, &left);
    if (items->size() != before) continue;
    part_ = static_cast<Part>(static_cast<int>(part_) + 1);
    row_ = 0;
    bucket_ = 0;
    after_.clear();
    if (part_ == Part::kDeliveries) buckets_ = buckets(kDeliveries);
  }
}

uint64_t Snapshot::bytes() {
  auto pragma = [this](const char* name) {
    return static_cast<uint64_t>(
        connection_->db().execAndGet(std::string("PRAGMA ") + name).getInt64());
  };
  return (pragma("page_count") - pragma("freelist_count")) * pragma("page_size");
}

void Snapshot::step(Items* items, size_t* left) {
  switch (part_) {
    case Part::kMessages: messages(items, left); break;
    case Part::kMailboxes: mailboxes(items, left); break;
    case Part::kDeliveries: deliveries(items, left); break;
    case Part::kCollections: collections(items); break;
    case Part::kRecords: records(items, left); break;
    case Part::kEnd: break;
  }
}

bool Snapshot::next_bucket() {
  row_ = 0;
  return ++bucket_ < buckets_.size();
}

void Snapshot::messages(Items* items, size_t* left) {
  if (bucket_ >= buckets_.size()) return;
  do {
    Query query(*connection_, "SELECT row,ts,d FROM " + body_table(messages_, buckets_[bucket_]) +
                                  " WHERE row>? AND row<? ORDER BY row");
    query << row_ << kIndexRow;
    while (*left > 0 && query.step()) {
      row_ = query.number(0);
      if (query.number(1) <= since_) continue;
      v1::TemporaryMessage* message = items->emplace_back().mutable_message();
      *message->mutable_time() = to_timestamp(query.number(1));
      message->set_event(query.text(2));
      take(message->event().size(), left);
    }
  } while (*left > 0 && next_bucket());
}

void Snapshot::mailboxes(Items* items, size_t* left) {
  Query query(*connection_,
              "SELECT name,epoch,first,last FROM mailboxes WHERE name>? ORDER BY name");
  query << after_;
  std::string last = after_;
  while (*left > 0 && query.step()) {
    v1::SnapshotMailbox* mailbox = items->emplace_back().mutable_mailbox();
    last = query.text(0);
    mailbox->mutable_state()->set_mailbox(last);
    mailbox->mutable_state()->set_epoch(query.count(1));
    mailbox->mutable_state()->set_first(query.count(2));
    mailbox->mutable_state()->set_last(query.count(3));
    for (const CursorState& state : read_cursors(*connection_, last).cursors) {
      v1::Cursor* cursor = mailbox->add_cursors();
      cursor->set_device(state.device);
      cursor->set_sequence(state.sequence);
      *cursor->mutable_time() = to_timestamp(state.time);
    }
    take(mailbox->ByteSizeLong(), left);
  }
  after_ = std::move(last);
}

void Snapshot::deliveries(Items* items, size_t* left) {
  if (bucket_ >= buckets_.size()) return;
  do {
    Query query(*connection_, "SELECT row,ts,d,p FROM " +
                                  body_table(kDeliveries, buckets_[bucket_]) +
                                  " WHERE row>? AND row<? ORDER BY row");
    query << row_ << kIndexRow;
    while (*left > 0 && query.step()) {
      row_ = query.number(0);
      v1::Delivery* delivery = items->emplace_back().mutable_delivery();
      *delivery->mutable_time() = to_timestamp(query.number(1));
      delivery->set_message(query.text(2));
      for (const PlaceById& place : unpack(query.blob(3))) {
        Query mailbox(*connection_, "SELECT name,epoch,first FROM mailboxes WHERE id=?");
        mailbox << place.mailbox;
        if (!mailbox.step() || place.sequence < mailbox.count(2)) continue;
        v1::Position* position = delivery->add_positions();
        position->set_mailbox(mailbox.text(0));
        position->set_epoch(mailbox.count(1));
        position->set_sequence(place.sequence);
      }
      // A message that is in no mailbox any more is as good as gone.
      if (delivery->positions().empty()) {
        items->pop_back();
        continue;
      }
      take(delivery->ByteSizeLong(), left);
    }
  } while (*left > 0 && next_bucket());
}

void Snapshot::collections(Items* items) {
  for (const CollectionState& state : read_collections(*connection_)) {
    if (state.collection <= after_) continue;
    v1::SnapshotCollection* collection = items->emplace_back().mutable_collection();
    collection->set_collection(state.collection);
    collection->set_revision(state.revision);
    after_ = state.collection;
  }
}

void Snapshot::records(Items* items, size_t* left) {
  Query query(*connection_,
              "SELECT r.rowid,c.name,r.key,r.revision,r.indexes,r.value FROM records r JOIN "
              "collections c ON c.id=r.collection WHERE r.rowid>? ORDER BY r.rowid");
  query << row_;
  while (*left > 0 && query.step()) {
    row_ = query.number(0);
    v1::SnapshotRecord* item = items->emplace_back().mutable_record();
    item->set_collection(query.text(1));
    v1::Record* record = item->mutable_record();
    record->set_key(query.text(2));
    record->set_revision(query.count(3));
    for (RecordIndex& index : unpack_indexes(query.blob(4))) {
      v1::IndexEntry* entry = record->add_indexes();
      entry->set_name(std::move(index.name));
      entry->set_value(std::move(index.value));
    }
    record->set_value(query.text(5));
    take(item->ByteSizeLong(), left);
  }
}

}  // namespace imctl::storage
