// What a back end has to be able to do. The services (messages, mailboxes, records, snapshots) are
// written once, above this; a back end is a class that derives from Engine.
//
// Writing: whatever waits is handed over together, as writes, by one thread (writer.h), and is
// committed together. Each write finds its outcome in its own fields. Reading is done beside it, by
// any number of threads.
//
// Times are Unix times in milliseconds.
#ifndef IMCTL_STORAGE_ENGINE_H
#define IMCTL_STORAGE_ENGINE_H

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "imctl/host.h"
#include "imctl/status.h"
#include "imctl/storage/v1/snapshots.pb.h"
#include "unix_time.h"

namespace imctl::storage {

// ---- what is written. In: set by the caller. Out: set by commit(), meaningful when it is OK; it
// may run a write again after a failed commit, so it sets them anew each time.

// Stores messages in order up to the first whose id is taken by other content (see same_message()
// in message.h). One that is there with the same content counts as stored and is left as it is; one
// that is past its retention period is not there.
struct PutMessages {
  struct Item {
    std::string_view id;
    std::string_view data;  // a serialized pb.CloudEvent
  };
  std::vector<Item> items;  // at least one
  Buffer bytes;             // what the items point into
  size_t stored = 0;        // out: how many, from the first on
};

// Removes messages; what is not there, or past its retention period, does not count.
struct DeleteMessages {
  std::vector<std::string> ids;
  size_t deleted = 0;  // out
};

// Removes what was stored at or before `before`, or a part of it that takes some milliseconds at
// most. It is run again while there is `more`, other writes in between.
struct CleanMessages {
  int64_t before = 0;
  // All of it. Else only what goes cheaply: what is past its retention period is absent anyway, and
  // a later run takes the rest.
  bool all = true;
  uint64_t removed = 0;  // out: by this run
  bool more = false;     // out
};

// The same for the messages in mailboxes. Sets the mailboxes' first numbers.
struct CleanMailboxes {
  int64_t before = 0;
  uint64_t removed = 0;  // out: by this run
  bool more = false;     // out
};

struct Place {
  std::string mailbox;
  uint64_t epoch = 0;
  uint64_t sequence = 0;
};

// Stores a message and gives it the next number in each mailbox. `key` names the message (see
// delivery_key() in message.h); if one of
// that key is stored, `places` are those of that one, without mailboxes that were deleted since,
// and nothing is written.
struct AppendMessage {
  std::string key;
  std::string_view data;               // a serialized imctl.storage.v1.Message
  Buffer bytes;                        // what data points into
  std::vector<std::string> mailboxes;  // at least one, each once
  int64_t given_time = 0;              // when it was stored elsewhere; 0: never
  std::vector<Place> places;           // out: in order
  int64_t time = 0;                    // out: when it was stored
  bool duplicate = false;              // out: it was stored before
  bool conflict = false;               // out: with other content (same_delivery() in message.h)
};

// Moves a device's cursor forward, not back.
struct AckMailbox {
  std::string mailbox;
  std::string device;
  uint64_t sequence = 0;
  uint64_t epoch = 0;  // 0: any
  // Out. OUT_OF_RANGE: `sequence` is beyond the end. FAILED_PRECONDITION: another epoch.
  Status outcome;
  uint64_t stands = 0;  // out: where the cursor stands now,
  int64_t moved = 0;    // and since when
};

struct DeleteCursor {
  std::string mailbox;
  std::string device;
  bool existed = false;  // out
};

// The mailbox, its cursors and its entries, or a part of the entries (`more`, as in CleanMessages);
// from the first run on it is not there any more. Messages that are in other mailboxes too stay.
struct DeleteMailbox {
  std::string mailbox;
  bool existed = false;  // out: by the first run
  bool more = false;     // out
  bool begun = false;    // for the engine: this is not the first run
};

struct RecordIndex {
  std::string name;
  std::string value;
};

struct RecordWrite {
  std::string collection;  // MODULE/COLLECTION
  std::string key;
  bool erase = false;  // NOT_FOUND if it is not there
  std::string value;
  std::vector<RecordIndex> indexes;
  // Conditions. ALREADY_EXISTS: `create`, and it is there. FAILED_PRECONDITION: `revision`, not 0,
  // is another or it is not there.
  bool create = false;
  uint64_t revision = 0;
};

// All or none. Each gets the next revision of its collection, in order.
struct CommitRecords {
  std::vector<RecordWrite> writes;  // no two of the same record
  Status outcome;                   // out: which condition did not hold
  size_t failed = 0;                // out: of which write
  std::vector<uint64_t> revisions;  // out
};

// Parts of a dump, in order, which was looked at already; committed alone. `begin` removes what an
// unfinished load left, fails with FAILED_PRECONDITION if there is anything else, and has loading()
// be true until an `end` was committed. Epochs and revisions are stored as they come; a
// collection's changes before the load are not known.
//
// With `replace` in `begin` they go beside what is there, replacing() is true, and the commit of
// the `end` puts them in its place, all or nothing. `abandon`, without items, ends it without that;
// so does the end of the process. A `moved` ends it, too, but for that commit() gives moved_away()
// for other writes from then on, until a whole load or a `moved` without a place.
struct LoadSnapshot {
  std::vector<v1::SnapshotItem> items;
  bool abandon = false;
  Status outcome;  // out
};

using Write =
    std::variant<PutMessages, DeleteMessages, CleanMessages, CleanMailboxes, AppendMessage,
                 AckMailbox, DeleteCursor, DeleteMailbox, CommitRecords, LoadSnapshot>;

// ---- what is read

struct MailboxState {
  std::string mailbox;
  uint64_t epoch = 0;  // 0: there is none, and first = 1
  uint64_t first = 1;
  uint64_t last = 0;
};

struct MailboxEntry {
  uint64_t sequence = 0;
  int64_t time = 0;
  std::string data;  // a serialized imctl.storage.v1.Message
};

struct MailboxPage {
  MailboxState state;
  std::vector<MailboxEntry> entries;
};

struct CursorState {
  std::string device;
  uint64_t sequence = 0;
  int64_t time = 0;
};

struct Cursors {
  uint64_t epoch = 0;
  std::vector<CursorState> cursors;
};

struct RecordRow {
  std::string key;
  std::string value;
  uint64_t revision = 0;
  std::vector<RecordIndex> indexes;
};

struct RecordQuery {
  std::string collection;
  std::string prefix;                // of the key
  std::optional<RecordIndex> index;  // with this entry instead,
  bool index_prefix = false;         // or with one whose value begins so
  // After this one; empty: from the beginning. By key, or by the entry's value and key.
  std::string after_key;
  std::string after_value;
  size_t limit = 0;
  size_t max_bytes = 0;  // of keys and values; at least one record is given
  bool keys_only = false;
};

struct RecordPage {
  std::vector<RecordRow> records;
  // For an index: the value under which each was found.
  std::vector<std::string> values;
  bool more = false;
  uint64_t revision = 0;  // the collection's
};

struct RecordChange {
  uint64_t revision = 0;
  bool deleted = false;
  RecordRow record;  // as it is now; of a deleted one only the key
};

// The changes after a revision, without writes of a record that was written again later. `upto`: of
// all changes up to this revision, what is left is in `changes`.
struct ChangePage {
  std::vector<RecordChange> changes;
  uint64_t upto = 0;
  uint64_t revision = 0;   // the collection's
  uint64_t compacted = 0;  // changes after this one, and no others, are known
};

struct CollectionState {
  std::string collection;
  uint64_t revision = 0;
  uint64_t compacted = 0;
};

// A view of everything at one moment. One thread at a time.
class SnapshotReader {
 public:
  SnapshotReader() = default;
  SnapshotReader(const SnapshotReader&) = delete;
  SnapshotReader& operator=(const SnapshotReader&) = delete;
  virtual ~SnapshotReader() = default;
  // The next items, about `bytes` of them, in the order that snapshots.proto says, without `begin`
  // and `end`. None: that was all. [blocks]
  virtual Status next(size_t bytes, std::vector<v1::SnapshotItem>* items) = 0;
  // About how many bytes all items are, as far as that is known at once; 0: it is not.
  virtual uint64_t bytes() { return 0; }
};

class Engine {
 public:
  struct Size {
    uint64_t bytes = 0;  // on the disk
  };
  using Found = std::function<bool(std::string_view data)>;

  // Says a thing of the engine, by name.
  using Report = std::function<void(std::string_view name, const std::string& value)>;

  Engine() = default;
  Engine(const Engine&) = delete;
  Engine& operator=(const Engine&) = delete;
  virtual ~Engine() = default;

  // What there is to say of it to those who look for what is wrong. [any]
  virtual void report(const Report& /*report*/) {}

  // [the writer's thread] Does all of them, in order, and makes them durable; while loading() or
  // replacing() only LoadSnapshot comes. Not OK: none of them is
  // done, or, if UNAVAILABLE says that nobody knows, all may be. RESOURCE_EXHAUSTED: no space.
  // UNAVAILABLE, DATA_LOSS, FAILED_PRECONDITION: any write would fail now. Other codes may be the
  // fault of one of them; the caller finds out by trying each by itself.
  virtual Status commit(std::span<Write* const> writes) = 0;

  // A load that is to replace what is there: others may read and dump it, but nothing is written.
  // [any thread]
  virtual bool replacing() = 0;

  // An unfinished load: nothing else is to be done. [any thread; may block while it is]
  virtual bool loading() = 0;

  // ---- [any thread; they block, and know everything that was committed before they are called]

  // Calls `found` with each message that is there, in the order of `ids`, until it gives false.
  virtual Status get_messages(std::span<const std::string_view> ids, const Found& found) = 0;

  // Entries after `after`, at most `limit` and about `max_bytes` of them, but at least one.
  virtual Result<MailboxPage> read_mailbox(std::string_view mailbox, uint64_t after, size_t limit,
                                           size_t max_bytes) = 0;
  virtual Result<Cursors> cursors(std::string_view mailbox) = 0;
  // By name, those after `after`.
  virtual Result<std::vector<MailboxState>> list_mailboxes(std::string_view prefix,
                                                           std::string_view after,
                                                           size_t limit) = 0;

  virtual Result<std::optional<RecordRow>> get_record(std::string_view collection,
                                                      std::string_view key) = 0;
  virtual Result<RecordPage> list_records(const RecordQuery& query) = 0;
  virtual Result<ChangePage> changes(std::string_view collection, uint64_t after, size_t limit,
                                     size_t max_bytes) = 0;
  virtual Result<std::vector<CollectionState>> collections() = 0;

  virtual Result<std::unique_ptr<SnapshotReader>> dump() = 0;
};

// What the engine is to know of the settings.
struct Retention {
  std::chrono::milliseconds messages{0};
  std::chrono::milliseconds mailboxes{0};  // 0: for ever
  uint64_t changes = 0;                    // how many writes of a collection Watch knows
};

// What writes are told of a storage that was moved.
inline Status moved_away(std::string_view to) {
  return {IMCTL_UNAVAILABLE,
          "nothing can be written here, because all that is stored was moved to " +
              std::string(to) +
              ": bind the storage's services to that (section [bind], or host.modules) and restart "
              "the host; `imctl data migrate --reopen` goes on with this one instead"};
}

// A mailbox's epoch and a loaded collection's revision: larger than any that was given before.
inline uint64_t new_epoch(uint64_t last) {
  auto now = static_cast<uint64_t>(unix_ms()) * 1000;
  return now > last ? now : last + 1;
}

}  // namespace imctl::storage

#endif  // IMCTL_STORAGE_ENGINE_H
