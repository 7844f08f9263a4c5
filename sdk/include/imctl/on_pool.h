// `co_await on_pool(host)`: goes on on a thread of the module's pool, where it may block. Not OK:
// the pool takes no more, and it goes on where it was.
#ifndef IMCTL_ON_POOL_H
#define IMCTL_ON_POOL_H

#include <coroutine>

#include "imctl/host.h"
#include "imctl/status.h"

namespace imctl {

inline auto on_pool(const Host& host) {
  struct Awaiter {
    const Host& host;
    Status status;
    bool await_ready() const { return host.on_pool_thread(); }
    bool await_suspend(std::coroutine_handle<> handle) {
      // Once it is posted, another thread may have gone on with it, and this object be gone.
      Status posted = host.post([handle] { handle.resume(); });
      if (posted.ok()) return true;
      status = posted;
      return false;
    }
    Status await_resume() { return std::move(status); }
  };
  return Awaiter{host, Status()};
}

}  // namespace imctl

#endif  // IMCTL_ON_POOL_H
