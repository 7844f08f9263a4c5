// Users who write to each other in pairs, whatever carries it; one message of each in flight at
// most.
#ifndef IMCTL_TESTS_BENCH_CHAT_H
#define IMCTL_TESTS_BENCH_CHAT_H

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <string>
#include <vector>

namespace imctl::bench {

constexpr size_t kTextBytes = 200;  // of a message

// How they are connected. User 0 writes to user 1 and user 1 to user 0, and so on.
class Chat {
 public:
  using Clock = std::chrono::steady_clock;
  virtual ~Chat() = default;
  virtual size_t users() const = 0;
  virtual void send(size_t user) = 0;
  // Handles what comes within that time.
  virtual void turn(int milliseconds) = 0;

  std::function<void(size_t sender)> on_delivered;
  // Delivered, and the sender knows that it is safe, if the server says so at all.
  std::function<void(size_t sender)> on_done;
};

struct ChatLoad {
  double per_second = 0;
  double per_cpu_second = 0;  // of the servers
  double p50_us = 0;          // from the sender to the recipient
  double p99_us = 0;
};

// The next message as soon as the last is done. `cpu`: that the servers have used until now.
ChatLoad full_load(Chat* chat, std::chrono::milliseconds time, const std::function<double()>& cpu);
// So many a second, whoever's turn it is; one that has to wait for the last is late from when it
// was due.
ChatLoad paced_load(Chat* chat, std::chrono::milliseconds time, double per_second,
                    const std::function<double()>& cpu);

}  // namespace imctl::bench

#endif  // IMCTL_TESTS_BENCH_CHAT_H
