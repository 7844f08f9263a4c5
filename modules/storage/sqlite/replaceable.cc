#include "replaceable.h"

#include <fcntl.h>
#include <malloc.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <utility>

#include "sqlite_engine.h"

namespace imctl::storage {
namespace {

std::string staged_path(const std::string& path) { return path + "-staged"; }

bool exists(const std::string& path) {
  std::error_code error;
  return std::filesystem::exists(path, error);
}

void remove_database(const std::string& path) {
  for (const char* part : {"", "-wal", "-shm"}) ::unlink((path + part).c_str());
}

Status disk_error(const std::string& path, int error) {
  return {error == ENOSPC || error == EDQUOT ? IMCTL_RESOURCE_EXHAUSTED : IMCTL_UNAVAILABLE,
          "the database " + path + " cannot be replaced: " + ::strerror(error) +
              ": what was stored is as it was"};
}

Status sync_folder_of(const std::string& path) {
  const std::string folder = std::filesystem::absolute(path).parent_path();
  const int fd = ::open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (fd < 0) return disk_error(path, errno);
  const int failed = ::fsync(fd) == 0 ? 0 : errno;
  ::close(fd);
  return failed == 0 ? Status() : disk_error(path, failed);
}

bool replaces(const LoadSnapshot& load) {
  return !load.items.empty() && load.items.front().begin().replace();
}

bool moves(const LoadSnapshot& load) {
  return !load.items.empty() && load.items.back().has_moved();
}

bool ends(const LoadSnapshot& load) { return !load.items.empty() && load.items.back().has_end(); }

}  // namespace

struct ReplaceableEngine::OpenDump {
  std::mutex mutex;
  std::unique_ptr<SnapshotReader> reader;  // guarded by mutex; empty: what it read was replaced
};

class ReplaceableEngine::Dump final : public SnapshotReader {
 public:
  explicit Dump(std::shared_ptr<OpenDump> open) : open_(std::move(open)) {}
  Status next(size_t bytes, std::vector<v1::SnapshotItem>* items) override {
    std::lock_guard lock(open_->mutex);
    if (open_->reader != nullptr) return open_->reader->next(bytes, items);
    return {IMCTL_ABORTED, "what is stored was replaced while it was dumped: dump again"};
  }
  uint64_t bytes() override {
    std::lock_guard lock(open_->mutex);
    return open_->reader == nullptr ? 0 : open_->reader->bytes();
  }

 private:
  const std::shared_ptr<OpenDump> open_;
};

Result<std::unique_ptr<Engine>> ReplaceableEngine::open(const Options& options,
                                                        const Retention& retention) {
  Result<std::unique_ptr<FileLock>> lock = FileLock::take(options.path);
  if (!lock.ok()) return lock.status();
  remove_database(staged_path(options.path));
  std::unique_ptr<ReplaceableEngine> engine(
      new ReplaceableEngine(options, retention, std::move(*lock)));
  Result<std::unique_ptr<Engine>> current = SqliteEngine::open(options, retention);
  if (!current.ok()) return current.status();
  engine->current_ = std::move(*current);
  return std::unique_ptr<Engine>(std::move(engine));
}

ReplaceableEngine::ReplaceableEngine(const Options& options, const Retention& retention,
                                     std::unique_ptr<FileLock> lock)
    : options_(options), retention_(retention), lock_(std::move(lock)) {}

ReplaceableEngine::~ReplaceableEngine() { abandon(); }

// ---- writing

Status ReplaceableEngine::commit(std::span<Write* const> writes) {
  auto* load = std::get_if<LoadSnapshot>(writes.front());
  if (load != nullptr) {
    load->outcome = Status();
    if (load->abandon) {
      abandon();
      return {};
    }
    if (replaces(*load)) {
      if (Status status = stage(); !status.ok()) return status;
    }
    if (staged_ != nullptr && moves(*load)) {
      // All before it is at most a `begin`, of which nothing is left to be done.
      load->items.erase(load->items.begin(), load->items.end() - 1);
      Status status = current_->commit(writes);
      abandon();
      return status;
    }
    if (staged_ != nullptr) {
      Status status = staged_->commit(writes);
      if (!status.ok() || !load->outcome.ok() || !ends(*load)) return status;
      load->outcome = put_in_place();
      return {};
    }
  }
  return current_ == nullptr ? gone() : current_->commit(writes);
}

Status ReplaceableEngine::stage() {
  abandon();
  if (current_ == nullptr) return gone();
  if (current_->loading()) {
    return {
        IMCTL_FAILED_PRECONDITION,
        "a load did not come to its end, so there is nothing to replace: load without `replace`"};
  }
  Options options = options_;
  options.path = staged_path(options_.path);
  options.index_memory = 0;  // nobody looks for anything in it yet
  Result<std::unique_ptr<Engine>> staged = SqliteEngine::open(options, retention_);
  if (!staged.ok()) return staged.status();
  staged_ = std::move(*staged);
  replacing_ = true;
  return {};
}

void ReplaceableEngine::abandon() {
  if (staged_ == nullptr) return;
  staged_.reset();
  remove_database(staged_path(options_.path));
  replacing_ = false;
}

Status ReplaceableEngine::put_in_place() {
  const std::string staged = staged_path(options_.path);
  // Closing it moves its log into the file and removes the log.
  staged_.reset();
  Status status;
  if (exists(staged + "-wal")) {
    status = Status(IMCTL_RESOURCE_EXHAUSTED,
                    "the database " + staged +
                        " could not be completed: is there space? What was stored is as it was");
  } else {
    std::lock_guard lock(mutex_);
    status = switch_files();
  }
  remove_database(staged);
  replacing_ = false;
  return status;
}

// With mutex_ held.
Status ReplaceableEngine::switch_files() {
  end_dumps();
  current_.reset();
  // What it had in memory is many small pieces, which glibc (in a process of the module's own) would keep
  // beside those of the new one.
  ::malloc_trim(0);
  Status status;
  // A log that is left belongs to the old file, and would be taken for the new one's.
  if (exists(options_.path + "-wal")) {
    status = Status(IMCTL_UNAVAILABLE, "the database " + options_.path +
                                           " could not be closed: what was stored is as it was");
  } else if (::rename(staged_path(options_.path).c_str(), options_.path.c_str()) != 0) {
    status = disk_error(options_.path, errno);
  } else if (Status synced = sync_folder_of(options_.path); !synced.ok()) {
    status = Status(IMCTL_UNAVAILABLE,
                    "the database " + options_.path +
                        " was replaced, but whether that outlives a failure of the machine is not "
                        "known: look at the disk");
  }
  Result<std::unique_ptr<Engine>> opened = SqliteEngine::open(options_, retention_);
  if (!opened.ok()) return opened.status();
  current_ = std::move(*opened);
  return status;
}

void ReplaceableEngine::end_dumps() {
  std::lock_guard lock(dumps_mutex_);
  for (const auto& known : dumps_) {
    if (auto dump = known.lock()) {
      std::lock_guard held(dump->mutex);
      dump->reader.reset();
    }
  }
  dumps_.clear();
}

// ---- reading

Status ReplaceableEngine::gone() const {
  return {IMCTL_UNAVAILABLE,
          "the database " + options_.path +
              " was replaced and does not open: the log says why; mend that and reload the module"};
}

template <class Call>
auto ReplaceableEngine::with_current(Call call) -> decltype(call(std::declval<Engine*>())) {
  std::shared_lock lock(mutex_);
  if (current_ == nullptr) return gone();
  return call(current_.get());
}

bool ReplaceableEngine::loading() {
  std::shared_lock lock(mutex_);
  return current_ != nullptr && current_->loading();
}

void ReplaceableEngine::report(const Report& report) {
  std::shared_lock lock(mutex_);
  if (current_ != nullptr) current_->report(report);
}

Status ReplaceableEngine::get_messages(std::span<const std::string_view> ids, const Found& found) {
  return with_current([&](Engine* engine) { return engine->get_messages(ids, found); });
}

Result<MailboxPage> ReplaceableEngine::read_mailbox(std::string_view mailbox, uint64_t after,
                                                    size_t limit, size_t max_bytes) {
  return with_current(
      [&](Engine* engine) { return engine->read_mailbox(mailbox, after, limit, max_bytes); });
}

Result<Cursors> ReplaceableEngine::cursors(std::string_view mailbox) {
  return with_current([&](Engine* engine) { return engine->cursors(mailbox); });
}

Result<std::vector<MailboxState>> ReplaceableEngine::list_mailboxes(std::string_view prefix,
                                                                    std::string_view after,
                                                                    size_t limit) {
  return with_current([&](Engine* engine) { return engine->list_mailboxes(prefix, after, limit); });
}

Result<std::optional<RecordRow>> ReplaceableEngine::get_record(std::string_view collection,
                                                               std::string_view key) {
  return with_current([&](Engine* engine) { return engine->get_record(collection, key); });
}

Result<RecordPage> ReplaceableEngine::list_records(const RecordQuery& query) {
  return with_current([&](Engine* engine) { return engine->list_records(query); });
}

Result<ChangePage> ReplaceableEngine::changes(std::string_view collection, uint64_t after,
                                              size_t limit, size_t max_bytes) {
  return with_current(
      [&](Engine* engine) { return engine->changes(collection, after, limit, max_bytes); });
}

Result<std::vector<CollectionState>> ReplaceableEngine::collections() {
  return with_current([&](Engine* engine) { return engine->collections(); });
}

Result<std::unique_ptr<SnapshotReader>> ReplaceableEngine::dump() {
  using Reader = std::unique_ptr<SnapshotReader>;
  return with_current([&](Engine* engine) -> Result<Reader> {
    Result<Reader> reader = engine->dump();
    if (!reader.ok()) return reader.status();
    auto open = std::make_shared<OpenDump>();
    open->reader = std::move(*reader);
    std::lock_guard lock(dumps_mutex_);
    std::erase_if(dumps_, [](const auto& known) { return known.expired(); });
    dumps_.push_back(open);
    return Reader(std::make_unique<Dump>(std::move(open)));
  });
}

}  // namespace imctl::storage
