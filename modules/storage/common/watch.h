// The loop of a Watch call: look, pass on what is new, wait for news.
#ifndef IMCTL_STORAGE_WATCH_H
#define IMCTL_STORAGE_WATCH_H

#include <atomic>
#include <memory>
#include <string_view>
#include <vector>

#include "imctl/on_pool.h"
#include "imctl/sdk.h"
#include "watchers.h"

namespace imctl::storage {

// `look(&out)` [blocks] puts what is new, as serialized replies, into `out`, or nothing if there is
// nothing new; its error ends the call. To be co_awaited first of all, in the handler.
template <class Reply, class Look>
Task<Status> watch(Watchers* watchers, Watchers::Kind kind, std::string_view name, const Host& host,
                   imctl::Writer<Reply>& writer, Look look) {
  struct Ending {
    std::atomic<bool> cancelled{false};
    std::atomic<bool> moving{false};
  };
  Watchers::Watcher watcher(watchers, kind, name);
  auto ending = std::make_shared<Ending>();
  writer.on_cancel([ending, news = watcher.news()](imctl_code) {
    ending->cancelled = true;
    news->set();
  });
  writer.on_moving([ending, news = watcher.news()] {
    ending->moving = true;
    news->set();
  });
  std::vector<Reply> found;
  for (;;) {
    if (ending->cancelled) co_return Status(IMCTL_CANCELLED, "the caller went away");
    if (ending->moving) {
      co_return Status(IMCTL_UNAVAILABLE,
                       "the storage is being replaced: watch again from the last one seen");
    }
    if (Status status = co_await on_pool(host); !status.ok()) {
      co_return Status(IMCTL_UNAVAILABLE,
                       status.message() + "; watch again from the last one seen");
    }
    found.clear();
    if (Status status = look(&found); !status.ok()) co_return status;
    for (const Reply& reply : found) {
      if (!co_await writer.write(reply)) co_return Status(IMCTL_CANCELLED, "the caller went away");
    }
    if (found.empty()) co_await *watcher.news();
  }
}

}  // namespace imctl::storage

#endif  // IMCTL_STORAGE_WATCH_H
