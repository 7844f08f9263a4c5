// What the module's services share.
#ifndef IMCTL_USER_CORE_H
#define IMCTL_USER_CORE_H

#include <memory>
#include <mutex>
#include <string>

#include "accounts.h"
#include "address.h"
#include "changes.h"
#include "hasher.h"
#include "last_seen.h"
#include "options.h"
#include "throttle.h"

namespace imctl::user {

struct Core {
  explicit Core(const Host& h)
      : host(h),
        store(h),
        changes(h, &store),
        last_seen(&store),
        hasher(h),
        logins_ok(logins("ok")),
        logins_failed(logins("failed")),
        logins_delayed(logins("delayed")),
        tokens_good(tokens("good")),
        tokens_bad(tokens("bad")) {}

  std::shared_ptr<const Options> options() const {
    std::lock_guard lock(mutex);
    return current;
  }
  void set_options(Options options) {
    store.set_timeout(options.storage_timeout);
    std::lock_guard lock(mutex);
    current = std::make_shared<const Options>(std::move(options));
  }
  Result<std::string> address(const std::string& text) const {
    return normalise_address(text, options()->domain);
  }

  const Host host;
  Store store;
  Changes changes;
  LastSeen last_seen;
  Hasher hasher;
  // By account and by address of the client; made in prepare.
  std::unique_ptr<Throttle> accounts;
  std::unique_ptr<Throttle> addresses;

  const Metric logins_ok, logins_failed, logins_delayed, tokens_good, tokens_bad;

  mutable std::mutex mutex;
  std::shared_ptr<const Options> current = std::make_shared<Options>();  // guarded by mutex

 private:
  Metric logins(const char* outcome) const {
    return host.counter("imctl_user_logins_total", "Attempts to log in, by how they ended",
                        std::string("outcome=\"") + outcome + "\"");
  }
  Metric tokens(const char* outcome) const {
    return host.counter("imctl_user_tokens_checked_total", "Tokens that the host asked about",
                        std::string("outcome=\"") + outcome + "\"");
  }
};

}  // namespace imctl::user

#endif  // IMCTL_USER_CORE_H
