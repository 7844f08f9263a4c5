#include "housekeeping.h"

#include <utility>

#include "token_keeper.h"

namespace imctl::user {

void Housekeeping::begin() {
  std::lock_guard lock(mutex_);
  stopping_ = false;
  last_ = Clock::now();
}

void Housekeeping::tick() {
  {
    std::lock_guard lock(mutex_);
    if (stopping_ || running_ > 0 || Clock::now() < last_ + core_->options()->clean_interval)
      return;
    last_ = Clock::now();
    ++running_;
  }
  run(false);
}

void Housekeeping::finish(bool write) {
  {
    std::lock_guard lock(mutex_);
    if (std::exchange(stopping_, true) || !write) return;
    ++running_;
  }
  run(true);
}

void Housekeeping::wait() {
  std::unique_lock lock(mutex_);
  idle_.wait(lock, [this] { return running_ == 0; });
}

void Housekeeping::report(State& state) const {
  std::lock_guard lock(mutex_);
  state.add("expired_tokens_removed", removed_);
  state.add("disabled_users_enabled", ended_);
  if (!problem_.empty()) state.add("cleaning_failed", problem_);
}

detail::Detached Housekeeping::run(bool last) {
  Status status;
  try {
    status = co_await clean(last);
  } catch (const std::exception& e) {
    status = Status(IMCTL_INTERNAL, e.what());
  }
  std::lock_guard lock(mutex_);
  problem_ = status.message();
  --running_;
  idle_.notify_all();
}

Task<Status> Housekeeping::clean(bool last) {
  const int64_t now = unix_now();
  Status seen = co_await core_->last_seen.flush(now, core_->options()->last_seen.count());
  if (last || !seen.ok()) co_return seen;
  for (;;) {
    Result<uint64_t> removed = co_await remove_expired_tokens(&core_->store, now);
    if (!removed.ok()) co_return removed.status();
    std::lock_guard lock(mutex_);
    removed_ += *removed;
    if (stopping_ || *removed < kPage) break;
  }
  Status ended = co_await end_what_is_over(now);
  co_return ended;
}

Task<Status> Housekeeping::end_what_is_over(int64_t now) {
  storage::v1::ListRecordsRequest request;
  request.set_collection(kUsers);
  request.mutable_index()->set_name("until");
  request.set_index_prefix(true);
  request.set_limit(kPage);
  Result<storage::v1::ListRecordsResponse> page = co_await core_->store.list(request);
  if (!page.ok()) co_return page.status();
  for (const storage::v1::Record& record : page->records()) {
    StoredUser user;
    if (!user.ParseFromString(record.value())) continue;
    if (is_disabled(user, now)) break;  // and those behind it
    std::function<Status(StoredUser*)> change = [now](StoredUser* one) {
      if (!is_disabled(*one, now)) enable(one);
      return Status();
    };
    Result<Kept<StoredUser>> changed =
        co_await edit_user(&core_->store, record.key(), 0, false, std::move(change));
    if (!changed.ok() && changed.status().code() == IMCTL_UNAVAILABLE) co_return changed.status();
    std::lock_guard lock(mutex_);
    ++ended_;
  }
  co_return Status();
}

}  // namespace imctl::user
