// Messages by id, and how they are written. A message is a row of `ids`, which says where its body
// is, and a row of the bodies of a bucket (buckets.h).
#ifndef IMCTL_STORAGE_POSTGRESQL_MESSAGES_H
#define IMCTL_STORAGE_POSTGRESQL_MESSAGES_H

#include <cstdint>
#include <functional>
#include <map>
#include <span>
#include <string_view>
#include <utility>
#include <vector>

#include "buckets.h"
#include "transaction.h"

namespace imctl::storage {

// All into `bucket`. If nothing is there already that takes no round trip: it is queued.
void put_messages(Transaction* txn, const Bucket& bucket, std::span<PutMessages* const> works);
void delete_messages(Transaction* txn, std::span<DeleteMessages* const> works);

// A message as a dump has it.
struct StoredMessage {
  std::string_view id;
  std::string_view data;
  int64_t time = 0;
};
// Queues them. They are all new, and of the bucket's time.
void load_messages(Transaction* txn, const Bucket& bucket, std::span<const StoredMessage> messages);

// Removes what is past its retention period, a part at a time. The writer's thread.
class MessageCleaner {
 public:
  void run(Transaction* txn, CleanMessages* work);
  // To be called when a commit failed: what it removed is there again.
  void forget() { at_.clear(); }

 private:
  struct Candidate {
    Bucket bucket;
    bool emptied = false;
    bool whole = false;
  };
  // Gives how many rows it looked at.
  size_t clean_part(Transaction* txn, const Candidate& candidate, CleanMessages* work);
  // False: not now, somebody reads it.
  bool drop(Transaction* txn, const Candidate& candidate);

  int64_t before_ = 0;
  // How far each bucket was looked through for before_: time and n of the last row.
  std::map<int64_t, std::pair<int64_t, int64_t>> at_;
};

// Calls `found` for each message of `ids` that is there, in their order, until it gives false.
void get_messages(Connection* db, std::string_view secret, int64_t expired,
                  std::span<const std::string_view> ids, const Engine::Found& found);

}  // namespace imctl::storage

#endif  // IMCTL_STORAGE_POSTGRESQL_MESSAGES_H
