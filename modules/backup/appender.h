// Appends messages to mailboxes, many at a time, and in each mailbox in the order in which they are
// given.
#ifndef IMCTL_BACKUP_APPENDER_H
#define IMCTL_BACKUP_APPENDER_H

#include <functional>
#include <mutex>
#include <set>
#include <string>

#include "core.h"
#include "exchange.h"
#include "imctl/event.h"

namespace imctl::backup {

class Appender {
 public:
  enum class Outcome { kNew, kKnown, kRefused };
  // Told of each, on any thread, one at a time; with why it was refused.
  using Done = std::function<void(Outcome outcome, const Origin& origin, const std::string& why)>;

  Appender(Core* core, Done done) : core_(core), done_(std::move(done)) {}

  // Waits while too many are on their way, or one for the same mailbox. Not OK: the storage cannot
  // be written to, and nothing more is begun.
  Task<Status> add(Origin origin, storage::v1::AppendRequest request);
  // Until all of them are done. To be called before it is destroyed.
  Task<Status> drain();

 private:
  detail::Detached append(Origin origin, storage::v1::AppendRequest request);
  bool begin(const storage::v1::AppendRequest& request);

  Core* const core_;
  const Done done_;
  Event changed_;
  std::mutex mutex_;
  size_t running_ = 0;          // guarded by mutex_
  std::set<std::string> busy_;  // guarded by mutex_: mailboxes
  Status failure_;              // guarded by mutex_
};

}  // namespace imctl::backup

#endif  // IMCTL_BACKUP_APPENDER_H
