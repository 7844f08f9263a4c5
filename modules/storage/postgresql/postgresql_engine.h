// The PostgreSQL back end.
//
// One connection writes, for commit(); several read; one listens (listener.h); each dump has its
// own. Hosts that share the database share its rows only: each is as right as if it were alone.
//
// While the server is gone, everything ends with UNAVAILABLE at once; it goes on by itself when the
// server is back.
#ifndef IMCTL_STORAGE_POSTGRESQL_POSTGRESQL_ENGINE_H
#define IMCTL_STORAGE_POSTGRESQL_POSTGRESQL_ENGINE_H

#include <atomic>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "buckets.h"
#include "engine.h"
#include "listener.h"
#include "load.h"
#include "messages.h"
#include "options.h"
#include "schema.h"
#include "server.h"
#include "transaction.h"
#include "watchers.h"

namespace imctl::storage {

class PostgresEngine : public Engine {
 public:
  using Log = Listener::Log;

  // Connects, and makes the tables if there are none. `watchers` outlives it.
  static Result<std::unique_ptr<PostgresEngine>> open(const Options& options,
                                                      const Retention& retention,
                                                      Watchers* watchers, Log warn, Log info);
  ~PostgresEngine() override;

  void report(const Report& report) override;
  Status commit(std::span<Write* const> writes) override;
  bool replacing() override { return replacing_; }
  bool loading() override { return loading_ && still_loading(); }
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
  PostgresEngine(const Options& options, const Retention& retention, Watchers* watchers);

  const std::string& name() const { return server_.target().name; }
  // The writer's connection, made if need be.
  void connect_writer();
  void disconnect_writer();
  void run(std::span<Write* const> writes, bool careful);
  void run_messages(Transaction* txn, std::span<Write* const> writes, const Bucket& bucket);
  void run_mailboxes(Transaction* txn, std::span<Write* const> writes);
  // A part of a load that replaces what is there.
  void replace(LoadSnapshot* load);
  void end_replacement();
  // What was known of the tables may not be so.
  void forget();
  Status unknown_outcome(const Error& error) const;
  // Another host may have ended it.
  bool still_loading();
  template <class Read>
  auto read(Read what) -> Result<decltype(what(std::declval<Connection*>()))>;

  Server server_;
  const Retention retention_;
  Watchers* const watchers_;
  const std::string channel_;
  Database database_;  // as it was when it was opened
  std::atomic<bool> loading_{false};
  std::atomic<bool> replacing_{false};
  std::atomic<int> writer_process_{0};

  // The writer's thread:
  std::unique_ptr<Connection> writer_;
  Numbers numbers_;
  Buckets buckets_;
  MessageCleaner cleaner_;
  uint64_t load_ = 0;  // which load is ours
  std::unique_ptr<Replacement> replacement_;
  bool committing_ = false;  // a COMMIT may be on its way

  std::unique_ptr<Listener> listener_;
};

}  // namespace imctl::storage

#endif  // IMCTL_STORAGE_POSTGRESQL_POSTGRESQL_ENGINE_H
