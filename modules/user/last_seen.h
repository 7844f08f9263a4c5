// LastSeen: when users were last seen, coarsely: at most one write a user and interval, many in one
// Commit. From any thread; memory is bounded: if too many are noted, some are not.
#ifndef IMCTL_USER_LAST_SEEN_H
#define IMCTL_USER_LAST_SEEN_H

#include <cstdint>
#include <mutex>
#include <string>
#include <unordered_map>
#include <vector>

#include "store.h"

namespace imctl::user {

class LastSeen {
 public:
  explicit LastSeen(Store* store) : store_(store) {}

  // `interval` in seconds; 0: nothing is noted.
  void note(const std::string& address, uint64_t uid, int64_t now, int64_t interval);
  void forget(const std::string& address);

  // Writes what was noted since the last time. What cannot be written is given up.
  Task<Status> flush(int64_t now, int64_t interval);

  struct Size {
    size_t known = 0;
    size_t waiting = 0;
  };
  Size size() const;

 private:
  struct Seen {
    uint64_t uid = 0;
    int64_t time = 0;
    bool written = false;
  };

  Store* const store_;
  mutable std::mutex mutex_;
  std::unordered_map<std::string, Seen> seen_;  // guarded by mutex_
  size_t waiting_ = 0;                          // of them not written; guarded by mutex_
};

}  // namespace imctl::user

#endif  // IMCTL_USER_LAST_SEEN_H
