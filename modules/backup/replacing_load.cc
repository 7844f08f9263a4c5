#include "replacing_load.h"

#include <chrono>
#include <optional>
#include <thread>

#include "core.h"
#include "items.h"
#include "records.h"

namespace imctl::backup {
namespace {

using storage::v1::SnapshotItem;
using Clock = std::chrono::steady_clock;
// Of a message to the storage.
constexpr size_t kPiece = size_t{512} << 10U;
// How long the storage may take to begin.
constexpr std::chrono::seconds kPatience{60};
constexpr std::chrono::milliseconds kBetweenTries{5};

}  // namespace

Task<Result<bool>> Storage::is_empty(bool replacing) const {
  storage::v1::DumpRequest request;
  request.set_replacing(replacing);
  ClientStream<storage::v1::DumpRequest, Buffer> stream(dump, {}, &request);
  while (std::optional<Buffer> chunk = co_await stream.read()) {
    Items items;
    items.fill(std::move(*chunk));
    if (!items.status().ok()) co_return items.status();
    for (; !items.empty(); items.next()) {
      if (items.kind() == SnapshotItem::kEnd) co_return true;
      if (items.kind() != SnapshotItem::kBegin) co_return false;
    }
  }
  Result<Buffer> end = co_await stream.finish();
  if (!end.ok()) co_return end.status();
  co_return Status(IMCTL_DATA_LOSS, "the storage's dump has not come to its end");
}

Task<Status> ReplacingLoad::send() {
  if (!co_await load_.write(storage_.host.copy(piece_))) {
    Result<Buffer> end = co_await load_.finish();
    co_return end.ok() ? Status(IMCTL_DATA_LOSS, "the storage takes no more of what is loaded")
                       : end.status();
  }
  piece_.clear();
  co_return Status();
}

Task<Result<bool>> ReplacingLoad::begin(bool keep_epochs) {
  SnapshotItem begin;
  begin.mutable_begin()->set_format(1);
  begin.mutable_begin()->set_replace(true);
  begin.mutable_begin()->set_keep_epochs(keep_epochs);
  append_record(begin.SerializeAsString(), &piece_);
  if (Status status = co_await send(); !status.ok()) co_return status;
  const Clock::time_point until = Clock::now() + kPatience;
  for (;;) {
    Result<bool> empty = co_await storage_.is_empty(true);
    if (empty.ok() || empty.status().code() != IMCTL_FAILED_PRECONDITION || Clock::now() > until) {
      co_return empty;
    }
    // Nothing more of it; but if the load has ended, this says why.
    if (Status status = co_await send(); !status.ok()) co_return status;
    if (Status status = co_await on_slow_pool(storage_.host); !status.ok()) co_return status;
    std::this_thread::sleep_for(kBetweenTries);
  }
}

void ReplacingLoad::add(std::string_view whole, SnapshotItem::ItemCase kind) {
  count(kind, &counts_);
  piece_.append(whole);
}

bool ReplacingLoad::full() const { return piece_.size() >= kPiece; }

Task<Status> ReplacingLoad::finish(const SnapshotItem& last) {
  append_record(last.SerializeAsString(), &piece_);
  if (Status status = co_await send(); !status.ok()) co_return status;
  load_.writes_done();
  Result<Buffer> done = co_await load_.finish();
  co_return done.status();
}

Task<Status> ReplacingLoad::end() {
  SnapshotItem end;
  *end.mutable_end() = counts_;
  Status status = co_await finish(end);
  co_return status;
}

Task<Status> ReplacingLoad::moved(const std::string& to) {
  SnapshotItem item;
  item.mutable_moved()->set_to(to);
  Status status = co_await finish(item);
  co_return status;
}

}  // namespace imctl::backup
