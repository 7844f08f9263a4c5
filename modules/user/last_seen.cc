#include "last_seen.h"

#include <algorithm>
#include <utility>

#include "imctl/user/internal/stored.pb.h"

namespace imctl::user {
namespace {

constexpr size_t kMost = 200'000;

}  // namespace

void LastSeen::note(const std::string& address, uint64_t uid, int64_t now, int64_t interval) {
  if (interval == 0) return;
  std::lock_guard lock(mutex_);
  auto found = seen_.find(address);
  if (found == seen_.end()) {
    if (seen_.size() >= kMost) return;
    seen_.emplace(address, Seen{uid, now, false});
    ++waiting_;
    return;
  }
  Seen& seen = found->second;
  if (seen.uid == uid && now - seen.time < interval) return;
  if (seen.written) ++waiting_;
  seen = Seen{uid, now, false};
}

void LastSeen::forget(const std::string& address) {
  std::lock_guard lock(mutex_);
  auto found = seen_.find(address);
  if (found == seen_.end()) return;
  if (!found->second.written) --waiting_;
  seen_.erase(found);
}

Task<Status> LastSeen::flush(int64_t now, int64_t interval) {
  std::vector<std::pair<std::string, Seen>> batch;
  {
    std::lock_guard lock(mutex_);
    for (auto at = seen_.begin(); at != seen_.end();) {
      if (!at->second.written) {
        batch.emplace_back(at->first, at->second);
        at->second.written = true;
      } else if (now - at->second.time >= interval) {
        at = seen_.erase(at);
        continue;
      }
      ++at;
    }
    waiting_ = 0;
  }
  for (size_t from = 0; from < batch.size(); from += kPage) {
    storage::v1::CommitRequest write;
    for (size_t i = from; i < std::min(from + kPage, batch.size()); ++i) {
      internal::StoredLastSeen kept;
      kept.set_time(batch[i].second.time);
      kept.set_uid(batch[i].second.uid);
      add_put(&write, kLastSeen, batch[i].first, kept.SerializeAsString());
    }
    Result<storage::v1::CommitResponse> done = co_await store_->commit(std::move(write));
    if (!done.ok()) co_return done.status();
  }
  co_return Status();
}

LastSeen::Size LastSeen::size() const {
  std::lock_guard lock(mutex_);
  return {seen_.size(), waiting_};
}

}  // namespace imctl::user
