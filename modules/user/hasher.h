// Hasher: passwords are hashed on the module's pool, so many at once as it has threads.
#ifndef IMCTL_USER_HASHER_H
#define IMCTL_USER_HASHER_H

#include <mutex>
#include <string>

#include "imctl/sdk.h"
#include "password.h"

namespace imctl::user {

class Hasher {
 public:
  explicit Hasher(const Host& host) : host_(host) {}

  // Both go on on a thread of the pool. RESOURCE_EXHAUSTED: it takes no more just now.
  Task<Result<Credentials>> make(std::string prepared, PasswordSettings settings);
  Task<Result<Fit>> check(std::string prepared, Credentials kept, PasswordSettings settings);

  // Gets ready what the first check would have to wait for.
  void warm_up(const PasswordSettings& settings);

 private:
  Result<std::string> dummy(const PasswordSettings& settings);

  const Host host_;
  std::mutex mutex_;
  std::string dummy_;        // guarded by mutex_
  size_t dummy_memory_ = 0;  // what it was made with
  uint32_t dummy_time_ = 0;
};

}  // namespace imctl::user

#endif  // IMCTL_USER_HASHER_H
