#include "restorer.h"

#include <optional>
#include <utility>

#include "host_restorer.h"
#include "items.h"
#include "maker.h"
#include "replacing_load.h"

namespace imctl::backup {
namespace {

using storage::v1::SnapshotItem;

// As the file says; of one that is damaged, which the check will find, nothing.
uint64_t content_size(const FileReader& file) {
  const Result<v1::FileTrailer> trailer = file.peek_trailer();
  return trailer.ok() ? trailer->size() : 0;
}

class Restoring {
 public:
  Restoring(Core* core, Chain* chain, RestoreRequest request, const RestoreProgress& progress)
      : core_(core),
        chain_(chain),
        request_(std::move(request)),
        progress_(progress),
        // The check reads the files, the restore their contents.
        total_(chain->size() + content_size(chain->top())) {}

  Task<Result<v1::RestoreBackupResponse>> run() {
    Status status = co_await check_chain(core_, chain_, total_, progress_);
    if (!status.ok()) co_return status;
    done_ = chain_->size();
    response_.set_id(chain_->top().header().id());
    response_.set_total(total_);
    const bool dry_run = request_.caller->dry_run();
    response_.set_outcome(dry_run ? "would be restored" : "restored");
    if (request_.selection.stored()) {
      if (dry_run) {
        status = co_await look();
      } else {
        status = co_await put_back();
      }
    }
    if (status.ok()) {
      status =
          co_await restore_host(core_, chain_, request_.selection, *request_.caller, &response_);
    }
    if (!status.ok()) co_return status;
    response_.set_bytes(total_);
    co_return std::move(response_);
  }

 private:
  static Status not_empty() {
    return {
        IMCTL_FAILED_PRECONDITION,
        "the storage is not empty: --replace puts the backup in the place of what is there, after "
        "a backup of that"};
  }

  Task<Status> look() {
    Result<bool> empty = co_await core_->storage.is_empty(false);
    if (!empty.ok()) co_return empty.status();
    if (!*empty && !request_.replace) co_return not_empty();
    if (!*empty) response_.set_outcome("would replace what is stored");
    *response_.mutable_stored() = chain_->top().trailer().stored();
    co_return Status();
  }

  Task<Status> put_back() {
    ReplacingLoad load(core_->storage);
    // From here on nobody writes, so what is dumped now is all that there is.
    Result<bool> empty = co_await load.begin(request_.keep_epochs);
    if (!empty.ok()) co_return empty.status();
    empty_ = *empty;
    Status status = co_await look_after_the_old();
    if (status.ok()) status = co_await send_all(load);
    if (status.ok()) status = co_await load.end();
    if (!status.ok()) co_return status;
    // What was counted is what the storage counts, else it refuses it.
    *response_.mutable_stored() = load.counts();
    core_->host.info("backup " + response_.id() + " is restored");
    co_return Status();
  }

  Task<Status> look_after_the_old() {
    if (empty_) co_return Status();
    if (!request_.replace) co_return not_empty();
    if (!request_.safety) co_return Status();
    MakeRequest safety;
    safety.reason = "before the restore of " + response_.id();
    safety.replacing = true;
    MakeCaller caller;
    caller.progress = [this](uint64_t) { return progress_(done_, total_); };
    Result<v1::CreateBackupResponse> made =
        co_await make_backup(core_, std::move(safety), std::move(caller));
    if (!made.ok()) {
      co_return Status(
          made.status().code(),
          "nothing was changed, because what is there could not be backed up before: " +
              made.status().message());
    }
    response_.set_safety_backup(made->id());
    co_return Status();
  }

  // The chain's next block of the storage; nothing: that was all.
  Task<Status> next_block(Items* items) {
    while (items->empty()) {
      if (Status status = co_await on_slow_pool(core_->host); !status.ok()) co_return status;
      Result<std::optional<ReadBlock>> block = chain_->next();
      if (!block.ok()) co_return block.status();
      if (!*block) {
        ended_ = true;
        co_return Status();
      }
      done_ += (*block)->bytes->size();
      if (Status status = co_await progress_(done_, total_); !status.ok()) co_return status;
      if ((*block)->kind != v1::BLOCK_KIND_STORAGE) continue;
      items->fill(std::move(*(*block)->bytes));
    }
    co_return Status();
  }

  Task<Status> send_all(ReplacingLoad& load) {
    if (Status status = chain_->rewind(); !status.ok()) co_return status;
    if (!request_.selection.everything()) {
      Status merged = co_await send_merged(load);
      co_return merged;
    }
    Items items;
    for (;;) {
      if (Status status = co_await next_block(&items); !status.ok()) co_return status;
      if (ended_) co_return Status();
      for (; !items.empty(); items.next()) {
        load.add(items.whole(), items.kind());
        if (!load.full()) continue;
        if (Status status = co_await load.send(); !status.ok()) co_return status;
      }
    }
  }

  // What is meant from the backup, the rest from what is there; kind by kind, as a dump has them.
  Task<Status> send_merged(ReplacingLoad& load) {
    storage::v1::DumpRequest request;
    request.set_replacing(true);
    ClientStream<storage::v1::DumpRequest, Buffer> dump(core_->storage.dump, {}, &request);
    Items old_items;
    Items new_items;
    bool old_ended = false;
    for (int kind = SnapshotItem::kMessage; kind < SnapshotItem::kEnd; ++kind) {
      for (;;) {
        while (old_items.empty() && !old_ended) {
          std::optional<Buffer> chunk = co_await dump.read();
          old_ended = !chunk;
          if (chunk) old_items.fill(std::move(*chunk));
          if (!old_items.status().ok()) co_return old_items.status();
        }
        if (old_items.empty() || old_items.kind() > kind) break;
        if (old_items.kind() != SnapshotItem::kBegin &&
            !request_.selection.has(old_items.kind(), old_items.item())) {
          load.add(old_items.whole(), old_items.kind());
          if (load.full()) {
            if (Status status = co_await load.send(); !status.ok()) co_return status;
          }
        }
        old_items.next();
      }
      for (;;) {
        if (Status status = co_await next_block(&new_items); !status.ok()) co_return status;
        if (new_items.empty() || new_items.kind() > kind) break;
        if (request_.selection.has(new_items.kind(), new_items.item())) {
          load.add(new_items.whole(), new_items.kind());
          if (load.full()) {
            if (Status status = co_await load.send(); !status.ok()) co_return status;
          }
        }
        new_items.next();
      }
    }
    if (!old_items.empty() && old_items.kind() == SnapshotItem::kEnd) co_return Status();
    Result<Buffer> end = co_await dump.finish();
    if (!end.ok()) co_return end.status();
    co_return Status(IMCTL_DATA_LOSS, "the storage's dump has not come to its end");
  }

  Core* const core_;
  Chain* const chain_;
  const RestoreRequest request_;
  const RestoreProgress& progress_;
  const uint64_t total_;
  uint64_t done_ = 0;
  v1::RestoreBackupResponse response_;
  bool empty_ = false;
  bool ended_ = false;
};

}  // namespace

Task<Status> check_chain(Core* core, Chain* chain, uint64_t total,
                         const RestoreProgress& progress) {
  if (Status status = co_await on_slow_pool(core->host); !status.ok()) co_return status;
  chain->start_check();
  for (;;) {
    Result<bool> more = chain->check_next();
    if (!more.ok()) co_return more.status();
    if (!*more) co_return Status();
    if (Status status = co_await progress(chain->checked(), total); !status.ok()) co_return status;
    if (Status status = co_await on_slow_pool(core->host); !status.ok()) co_return status;
  }
}

Task<Result<v1::RestoreBackupResponse>> restore(Core* core, Chain* chain, RestoreRequest request,
                                                const RestoreProgress& progress) {
  if (chain->locked()) {
    co_return Status(IMCTL_UNAUTHENTICATED,
                     "the backup is encrypted: give its secret key, --key=@FILE");
  }
  Restoring restoring(core, chain, std::move(request), progress);
  Result<v1::RestoreBackupResponse> done = co_await restoring.run();
  if (!done.ok()) core->host.warn("a restore failed: " + done.status().message());
  co_return done;
}

}  // namespace imctl::backup
