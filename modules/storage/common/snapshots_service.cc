// imctl.storage.v1.Snapshots.
#include <algorithm>
#include <iterator>
#include <utility>
#include <vector>

#include "imctl/on_pool.h"
#include "load_checker.h"
#include "storage_module.h"
#include "unix_time.h"

namespace imctl::storage {
namespace {

using Clock = std::chrono::steady_clock;

constexpr size_t kChunk = size_t{64} << 10U;

void count(const v1::SnapshotItem& item, v1::SnapshotEnd* counts) {
  switch (item.item_case()) {
    case v1::SnapshotItem::kMessage: counts->set_messages(counts->messages() + 1); break;
    case v1::SnapshotItem::kMailbox: counts->set_mailboxes(counts->mailboxes() + 1); break;
    case v1::SnapshotItem::kDelivery: counts->set_deliveries(counts->deliveries() + 1); break;
    case v1::SnapshotItem::kCollection: counts->set_collections(counts->collections() + 1); break;
    case v1::SnapshotItem::kRecord: counts->set_records(counts->records() + 1); break;
    default: break;
  }
}

// A part of a load that is being written.
struct Step {
  Status outcome;
  Event over;
};

// Raised for as long as it lives, unless it was raised already.
class Flag {
 public:
  explicit Flag(std::atomic<bool>* flag) : flag_(flag), mine_(!flag->exchange(true)) {}
  Flag(const Flag&) = delete;
  Flag& operator=(const Flag&) = delete;
  ~Flag() {
    if (mine_) *flag_ = false;
  }
  bool mine() const { return mine_; }

 private:
  std::atomic<bool>* const flag_;
  const bool mine_;
};

}  // namespace

// A dump that is read. The view goes when nobody has read for too long; the call finds out when it
// goes on.
struct StorageModule::OpenDump {
  std::mutex mutex;
  std::unique_ptr<SnapshotReader> reader;  // guarded by mutex
  Clock::time_point since;                 // guarded by mutex: of the last write
};

void StorageModule::register_snapshots() {
  serve("/imctl.storage.v1.Snapshots/Dump", &StorageModule::dump);
  serve("/imctl.storage.v1.Snapshots/Load", &StorageModule::load);
}

Task<Status> StorageModule::dump(const v1::DumpRequest& request,
                                 imctl::Writer<v1::SnapshotChunk>& writer) {
  const Status gone(IMCTL_CANCELLED, "the caller went away");
  if (Status status = co_await on_pool(host()); !status.ok()) co_return status;
  if (Status status = ready(); !status.ok()) co_return status;
  if (request.replacing() && !engine_->replacing()) {
    co_return Status(IMCTL_FAILED_PRECONDITION, "nothing is being replaced just now");
  }
  auto open = std::make_shared<OpenDump>();
  uint64_t bytes = 0;
  {
    Result<std::unique_ptr<SnapshotReader>> reader = engine_->dump();
    if (!reader.ok()) co_return reader.status();
    open->reader = std::move(*reader);
    bytes = open->reader->bytes();
    open->since = Clock::now();
    std::lock_guard lock(dumps_mutex_);
    dumps_.push_back(open);
  }
  v1::SnapshotChunk chunk;
  v1::SnapshotBegin* begin = chunk.add_items()->mutable_begin();
  begin->set_format(1);
  begin->set_bytes(bytes);
  *begin->mutable_time() = to_timestamp(unix_ms());
  v1::SnapshotEnd counts;
  for (bool more = true; more;) {
    if (!co_await writer.write(chunk)) co_return gone;
    if (Status status = co_await on_pool(host()); !status.ok()) co_return status;
    std::vector<v1::SnapshotItem> items;
    {
      std::lock_guard lock(open->mutex);
      if (open->reader == nullptr) {
        co_return Status(IMCTL_DEADLINE_EXCEEDED,
                         "the dump was not read for longer than dump_idle_timeout and was ended: "
                         "dump again, and read it as it comes");
      }
      if (Status status = open->reader->next(kChunk, &items); !status.ok()) co_return status;
      open->since = Clock::now();
    }
    chunk.Clear();
    more = !items.empty();
    for (v1::SnapshotItem& item : items) {
      count(item, &counts);
      *chunk.add_items() = std::move(item);
    }
  }
  *chunk.add_items()->mutable_end() = counts;
  if (!co_await writer.write(chunk)) co_return gone;
  co_return Status();
}

void StorageModule::end_idle_dumps() {
  const auto since = Clock::now() - settings_.dump_idle.get();
  std::vector<std::shared_ptr<OpenDump>> open;
  {
    std::lock_guard lock(dumps_mutex_);
    std::erase_if(dumps_, [](const auto& dump) { return dump.expired(); });
    for (const auto& dump : dumps_) {
      if (auto held = dump.lock()) open.push_back(std::move(held));
    }
  }
  for (const auto& dump : open) {
    std::unique_lock lock(dump->mutex, std::try_to_lock);  // it is read just now
    if (lock.owns_lock() && dump->since < since) dump->reader.reset();
  }
}

Task<Status> StorageModule::write_load(LoadSnapshot work) {
  auto step = std::make_shared<Step>();
  writer_->submit(std::move(work),
                  [step](const Status& status, const LoadSnapshot& done, uint64_t) {
                    step->outcome = status.ok() ? done.outcome : status;
                    step->over.set();
                  });
  co_await step->over;
  co_return step->outcome;
}

Task<Status> StorageModule::load_items(Reader<v1::SnapshotChunk>& reader, LoadChecker* checker) {
  while (std::optional<v1::SnapshotChunk> chunk = co_await reader.read()) {
    if (Status status = checker->next(&*chunk); !status.ok()) co_return status;
    LoadSnapshot work;
    work.items.assign(std::make_move_iterator(chunk->mutable_items()->begin()),
                      std::make_move_iterator(chunk->mutable_items()->end()));
    if (work.items.empty()) continue;
    if (Status status = co_await write_load(std::move(work)); !status.ok()) co_return status;
  }
  if (checker->ended()) co_return Status();
  co_return Status(
      IMCTL_DATA_LOSS,
      std::string("the dump was cut off: it has no end. ") +
          (checker->replaces() ? "What was stored is as it was"
                               : "The storage is refused until a whole one is loaded"));
}

Task<Result<v1::LoadResponse>> StorageModule::load(Reader<v1::SnapshotChunk>& reader) {
  Flag only(&load_runs_);
  if (!only.mine()) {
    co_return Status(IMCTL_FAILED_PRECONDITION, "another snapshot is being loaded just now");
  }
  LoadChecker checker;
  Status status = co_await load_items(reader, &checker);
  if (!status.ok()) {
    if (checker.replaces() && engine_->replacing()) {
      LoadSnapshot gone;
      gone.abandon = true;
      (void)co_await write_load(std::move(gone));
    }
    co_return status;
  }
  v1::LoadResponse response;
  *response.mutable_loaded() = checker.counts();
  co_return response;
}

}  // namespace imctl::storage
