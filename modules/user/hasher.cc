#include "hasher.h"

#include "imctl/retry.h"

namespace imctl::user {
namespace {

Status busy() {
  return retry_later(IMCTL_RESOURCE_EXHAUSTED,
                     "too many passwords are being checked just now: try again soon",
                     std::chrono::seconds(1));
}

}  // namespace

Task<Result<Credentials>> Hasher::make(std::string prepared, PasswordSettings settings) {
  Status posted = co_await on_pool(host_);
  if (!posted.ok()) co_return busy();
  co_return make_credentials(prepared, settings);
}

Task<Result<Fit>> Hasher::check(std::string prepared, Credentials kept, PasswordSettings settings) {
  Status posted = co_await on_pool(host_);
  if (!posted.ok()) co_return busy();
  Result<std::string> nobodys = dummy(settings);
  if (!nobodys.ok()) co_return nobodys.status();
  co_return check_password(prepared, kept, *nobodys, settings);
}

void Hasher::warm_up(const PasswordSettings& settings) {
  (void)host_.post([this, settings] { (void)dummy(settings); });
}

Result<std::string> Hasher::dummy(const PasswordSettings& settings) {
  std::lock_guard lock(mutex_);
  if (dummy_.empty() || dummy_memory_ != settings.argon2_memory ||
      dummy_time_ != settings.argon2_time) {
    Result<std::string> made = make_dummy(settings);
    if (!made.ok()) return made;
    dummy_ = std::move(*made);
    dummy_memory_ = settings.argon2_memory;
    dummy_time_ = settings.argon2_time;
  }
  return dummy_;
}

}  // namespace imctl::user
