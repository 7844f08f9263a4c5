#include "appender.h"

#include <algorithm>
#include <chrono>
#include <thread>
#include <utility>

namespace imctl::backup {
namespace {

constexpr size_t kMost = 64;
constexpr int kTries = 50;
constexpr std::chrono::milliseconds kBetweenTries{100};

}  // namespace

bool Appender::begin(const storage::v1::AppendRequest& request) {
  std::lock_guard lock(mutex_);
  if (!failure_.ok()) return true;  // the caller looks
  const auto& names = request.recipients();
  if (running_ >= kMost || std::any_of(names.begin(), names.end(), [&](const std::string& name) {
        return busy_.contains(name);
      })) {
    return false;
  }
  ++running_;
  busy_.insert(names.begin(), names.end());
  return true;
}

Task<Status> Appender::add(Origin origin, storage::v1::AppendRequest request) {
  while (!begin(request)) co_await changed_;
  {
    std::lock_guard lock(mutex_);
    if (!failure_.ok()) co_return failure_;
  }
  append(std::move(origin), std::move(request));
  co_return Status();
}

Task<Status> Appender::drain() {
  for (;;) {
    {
      std::lock_guard lock(mutex_);
      if (running_ == 0) co_return failure_;
    }
    co_await changed_;
  }
}

detail::Detached Appender::append(Origin origin, storage::v1::AppendRequest request) {
  const CallOptions plain;
  Result<storage::v1::AppendResponse> done = co_await core_->append(request, plain);
  for (int tries = 0;
       !done.ok() && done.status().code() == IMCTL_RESOURCE_EXHAUSTED && tries < kTries; ++tries) {
    // Others fill the storage's queue. A full disk stays full.
    Status on = co_await on_slow_pool(core_->host);
    if (!on.ok()) break;
    std::this_thread::sleep_for(kBetweenTries);
    done = co_await core_->append(request, plain);
  }
  Event* changed = nullptr;
  {
    std::lock_guard lock(mutex_);
    --running_;
    for (const std::string& name : request.recipients()) busy_.erase(name);
    if (done.ok()) {
      done_(done->duplicate() ? Outcome::kKnown : Outcome::kNew, origin, {});
    } else if (done.status().code() == IMCTL_INVALID_ARGUMENT ||
               done.status().code() == IMCTL_ALREADY_EXISTS) {
      done_(Outcome::kRefused, origin, done.status().message());
    } else if (failure_.ok()) {
      failure_ = done.status();
    }
    changed = &changed_;
  }
  // Whoever waits may go on here, and destroy this object.
  changed->set();
}

}  // namespace imctl::backup
