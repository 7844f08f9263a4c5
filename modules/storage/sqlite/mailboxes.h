// The tables of mailboxes, at work. Messages are in a log ("deliveries"), each once; what belongs
// to a message there is the list of its places.
//
//   mailboxes(id, name, epoch, first, last)
//   entries(mailbox, sequence, at)        at: a packed Location in the log
//   cursors(mailbox, device, sequence, ts)
//   dead_mailboxes(id)                    deleted, but not all of its entries yet
#ifndef IMCTL_STORAGE_SQLITE_MAILBOXES_H
#define IMCTL_STORAGE_SQLITE_MAILBOXES_H

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "connection.h"
#include "engine.h"
#include "key.h"
#include "log.h"

namespace imctl::storage {

// A place of a message as it is kept with it: the mailbox by its id here, which is never used
// again.
struct PlaceById {
  int64_t mailbox = 0;
  uint64_t sequence = 0;
};
std::string pack(const std::vector<PlaceById>& places);
std::vector<PlaceById> unpack(std::string_view bytes);

// The one that writes. One thread; everything inside a transaction and throwing SQLite::Exception.
class Mailboxes {
 public:
  Mailboxes(Connection* connection, Log* log, const KeyMaker* keys);

  void append(AppendMessage* work, int64_t now);
  void ack(AckMailbox* work, int64_t now);
  void remove(DeleteCursor* work);
  void remove(DeleteMailbox* work);
  void clean(CleanMailboxes* work);

  // After a transaction that failed: what was done in parts may be undone.
  void reload() { cleaned_bucket_ = 0; }
  // Ends the deletes that were not ended. At the start.
  void finish_deletes();

  // Of a load.
  void load(const v1::SnapshotMailbox& mailbox);
  void load(const v1::Delivery& delivery);
  void clear();
  bool empty();

 private:
  struct Row {
    int64_t id = 0;  // 0: there is none
    uint64_t epoch = 0;
    uint64_t first = 1;
    uint64_t last = 0;
  };

  // The largest that was ever given.
  uint64_t last_epoch();
  void set_last_epoch(uint64_t epoch);
  Row find(std::string_view name);
  Row create(std::string_view name);
  std::vector<Place> name_all(const std::vector<PlaceById>& places);
  bool delete_some_entries(int64_t mailbox);
  bool is_anywhere(const std::vector<PlaceById>& places);

  Connection* const connection_;
  Log* const log_;
  const KeyMaker* const keys_;
  // How far an unfinished clean of the log's oldest bucket came.
  int64_t cleaned_bucket_ = 0;
  int64_t cleaned_row_ = 0;
};

// Reading. Inside a transaction; `log` is the log's list of buckets.
MailboxState read_state(Connection& connection, std::string_view mailbox);
MailboxPage read_page(Connection& connection, std::string_view mailbox, uint64_t after,
                      size_t limit, size_t max_bytes);
Cursors read_cursors(Connection& connection, std::string_view mailbox);
std::vector<MailboxState> read_mailboxes(Connection& connection, std::string_view prefix,
                                         std::string_view after, size_t limit);

}  // namespace imctl::storage

#endif  // IMCTL_STORAGE_SQLITE_MAILBOXES_H
