// The engine of the module: an SqliteEngine, and while a snapshot is loaded that is to take its
// place, a second one in a file beside it.
//
// The file beside is complete and closed before it is renamed over the other one, and nobody has
// that one open then: so whenever the process ends, the file of the database's name is the old
// one or the new one, whole. What is left of the other is removed when the database is opened.
#ifndef IMCTL_STORAGE_SQLITE_REPLACEABLE_H
#define IMCTL_STORAGE_SQLITE_REPLACEABLE_H

#include <atomic>
#include <memory>
#include <mutex>
#include <shared_mutex>
#include <string>
#include <vector>

#include "config.h"
#include "database.h"
#include "engine.h"

namespace imctl::storage {

class ReplaceableEngine final : public Engine {
 public:
  // Locks the file for this process, and opens it.
  static Result<std::unique_ptr<Engine>> open(const Options& options, const Retention& retention);
  ~ReplaceableEngine() override;

  void report(const Report& report) override;
  Status commit(std::span<Write* const> writes) override;
  bool loading() override;
  bool replacing() override { return replacing_.load(); }
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
  struct OpenDump;
  class Dump;

  ReplaceableEngine(const Options& options, const Retention& retention,
                    std::unique_ptr<FileLock> lock);
  // Calls it with the engine, which is not replaced meanwhile.
  template <class Call>
  auto with_current(Call call) -> decltype(call(std::declval<Engine*>()));
  Status gone() const;

  // ---- the writer's thread
  Status stage();
  void abandon();
  // The staged file in the place of the other.
  Status put_in_place();
  Status switch_files();
  void end_dumps();

  const Options options_;
  const Retention retention_;
  const std::unique_ptr<FileLock> lock_;
  std::unique_ptr<Engine> staged_;  // the writer's thread's
  std::atomic<bool> replacing_{false};

  // Held by those who use it, and alone by who replaces it. The writer's thread is that one, and
  // needs no lock to use it.
  std::shared_mutex mutex_;
  std::unique_ptr<Engine> current_;  // empty only if the new file did not open
  std::mutex dumps_mutex_;
  std::vector<std::weak_ptr<OpenDump>> dumps_;  // guarded by dumps_mutex_
};

}  // namespace imctl::storage

#endif  // IMCTL_STORAGE_SQLITE_REPLACEABLE_H
