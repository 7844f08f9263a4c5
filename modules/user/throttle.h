// Throttle: how long whoever guessed wrong has to wait. From any thread; memory is bounded.
//
// After `free` failures a delay begins, a second, and doubles with each further one up to `most`.
// It counts from the last failure. An attempt counts as failed until it is told that it went well,
// so that many at once gain nothing. Failures are forgotten once they are older than twice the
// longest delay.
#ifndef IMCTL_USER_THROTTLE_H
#define IMCTL_USER_THROTTLE_H

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <list>
#include <mutex>
#include <string>
#include <unordered_map>

namespace imctl::user {

class Throttle {
 public:
  using Clock = std::chrono::steady_clock;
  struct Limits {
    uint32_t free = 5;
    std::chrono::milliseconds most{300000};
  };

  explicit Throttle(size_t max_entries) : max_entries_(max_entries) {}

  // Begins an attempt. More than zero: it may not be made, and how long to wait.
  std::chrono::milliseconds begin(const std::string& key, const Limits& limits,
                                  Clock::time_point now);
  // An attempt that was begun was no failure: it alone does not count, or, with `forget`, none
  // does.
  void went_well(const std::string& key, bool forget);

  size_t size() const {
    std::lock_guard lock(mutex_);
    return entries_.size();
  }

 private:
  struct Entry {
    std::string key;
    uint32_t failures = 0;
    Clock::time_point last;
  };
  static std::chrono::milliseconds delay(uint32_t failures, const Limits& limits);

  const size_t max_entries_;
  mutable std::mutex mutex_;
  std::list<Entry> order_;  // the one that failed last is the last; guarded by mutex_
  std::unordered_map<std::string, std::list<Entry>::iterator> entries_;  // guarded by mutex_
};

// What addresses of clients are told apart by: of "ipv4:127.0.0.1:4711" and
// "ipv6:[2001:db8::1]:4711" the address without the port, of IPv6 the network of 64 bits. Empty for
// what is no address: "unix:".
std::string network_of(const std::string& peer);

}  // namespace imctl::user

#endif  // IMCTL_USER_THROTTLE_H
