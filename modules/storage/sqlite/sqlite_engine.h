// storage::Engine on an SQLite file.
#ifndef IMCTL_STORAGE_SQLITE_SQLITE_ENGINE_H
#define IMCTL_STORAGE_SQLITE_SQLITE_ENGINE_H

#include <atomic>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "config.h"
#include "connection.h"
#include "database.h"
#include "engine.h"
#include "key.h"
#include "log.h"
#include "mailboxes.h"
#include "records.h"

namespace imctl::storage {

// Of a file that this process alone writes; see replaceable.h, which sees to that and to whatever
// is to replace the file.
class SqliteEngine final : public Engine {
 public:
  static Result<std::unique_ptr<Engine>> open(const Options& options, const Retention& retention);
  ~SqliteEngine() override;

  void report(const Report& report) override;
  Status commit(std::span<Write* const> writes) override;
  bool loading() override { return loading_.load(); }
  bool replacing() override { return false; }
  Status get_messages(std::span<const std::string_view> ids, const Found& found) override;
  Result<MailboxPage> read_mailbox(std::string_view mailbox, uint64_t after, size_t limit,
                                   size_t max_bytes) override;
  Result<Cursors> cursors(std::string_view mailbox) override;
  Result<std::vector<MailboxState>> list_mailboxes(std::string_view prefix, std::string_view after,
                                                   size_t limit) override;
  Result<std::optional<RecordRow>> get_record(std::string_view collection,
                                              std::string_view key) override;
  Result<RecordPage> list_records(const RecordQuery& query) override;
  Result<ChangePage> changes(std::string_view collection, uint64_t after, size_t limit,
                             size_t max_bytes) override;
  Result<std::vector<CollectionState>> collections() override;
  Result<std::unique_ptr<SnapshotReader>> dump() override;

 private:
  struct Reader;  // a connection that is lent out one call at a time

  SqliteEngine(const Options& options, const Retention& retention,
               std::unique_ptr<Connection> connection, std::string secret);
  void start();
  void reload();
  void publish();
  int64_t expired() const { return unix_ms() - retention_.messages.count(); }

  // ---- in the writer's transaction
  void run(std::span<Write* const> writes);
  void put(std::span<Write* const> writes, int64_t now);
  void run(DeleteMessages* work);
  void run(CleanMessages* work);
  void run(LoadSnapshot* work);
  void load(const v1::SnapshotItem& item);
  void set_loading(bool loading);
  void set_moved(const std::string& to);

  // ---- reading
  std::unique_ptr<Reader> take();
  void give_back(std::unique_ptr<Reader> reader);
  // Calls `read` in a read transaction.
  template <class T>
  Result<T> read(const std::function<T(Reader&)>& read);

  const Options options_;
  const Retention retention_;
  const std::unique_ptr<Connection> connection_;
  const KeyMaker keys_;
  Log messages_;
  Log deliveries_;
  Mailboxes mailboxes_;
  Records records_;
  std::atomic<bool> loading_{false};
  bool stored_loading_ = false;  // as the transaction has it
  std::string moved_;            // the same: where all was moved to; empty: it is here

  std::mutex mutex_;
  std::string shown_moved_;                    // guarded by mutex_: what is committed of moved_
  std::shared_ptr<const Buckets> buckets_;     // guarded by mutex_: of messages_
  std::vector<std::unique_ptr<Reader>> idle_;  // guarded by mutex_
};

}  // namespace imctl::storage

#endif  // IMCTL_STORAGE_SQLITE_SQLITE_ENGINE_H
