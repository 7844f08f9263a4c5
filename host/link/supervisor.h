// Keeps the process of an isolated module alive: starts it, takes it through the module's life,
// notices when it dies or hangs, starts it again.
#ifndef IMCTL_HOST_LINK_SUPERVISOR_H
#define IMCTL_HOST_LINK_SUPERVISOR_H

#include <sys/types.h>

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <deque>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "imctl/status.h"
#include "link/bridge.h"
#include "link/child.h"
#include "link/isolated_code.h"
#include "road/buffer.h"

namespace imctl::host {

class Instance;

// One thread of its own does all. It also spawns the processes, so that these can ask the kernel to
// end with it.
class Supervisor {
 public:
  static Result<std::unique_ptr<Supervisor>> make(IsolatedOptions options, Instance* instance);
  Supervisor(const Supervisor&) = delete;
  Supervisor& operator=(const Supervisor&) = delete;
  // Ends the process if there is one.
  ~Supervisor();

  // [lifecycle] One step of the module's life; waits for it, but not for ever.
  Child::Reply run(Step step, std::string head = {}, BufferRef tail = {});

  // [any] There may be something to be done.
  void wake();
  // [any] Where calls go, or why nobody takes them.
  Result<std::shared_ptr<Bridge>> bridge() const;
  // [any] 0: there is none.
  pid_t pid() const { return pid_.load(std::memory_order_relaxed); }

 private:
  using Clock = Child::Clock;
  // How far the module has come.
  enum class Phase { kNew, kCreated, kPrepared, kActive, kStopping, kStopped, kGone };
  struct Command {
    Step step;
    std::string head;
    BufferRef tail;
    std::optional<Child::Reply> reply;
  };

  Supervisor(IsolatedOptions options, Instance* instance, int wake_fd);
  void loop();
  void wait(std::optional<Clock::time_point> until);
  Child::Reply carry_out(Command& command);
  Child::Reply step(Step step, std::string_view head, BufferRef tail);
  Status bring_up();
  Status activate();
  void restart();
  void note_death(const std::string& how);
  void retire_child(const Status& for_calls);
  void reap();
  void publish(std::shared_ptr<Bridge> bridge, Status away);
  void log(imctl_log_level level, const std::string& text);
  std::string subject() const;

  const IsolatedOptions options_;
  Instance* const instance_;
  const int wake_fd_;

  // The thread's.
  std::unique_ptr<Child> child_;
  std::vector<std::unique_ptr<Child>> retired_;  // until their calls are over
  Phase phase_ = Phase::kNew;
  std::string settings_;  // what prepare was given
  std::string last_end_;
  std::deque<Clock::time_point> deaths_;
  std::optional<Clock::time_point> restart_at_;
  Clock::time_point died_;

  std::atomic<pid_t> pid_{0};
  mutable std::mutex mutex_;
  std::condition_variable done_;
  Command* command_ = nullptr;
  bool stop_ = false;
  std::shared_ptr<Bridge> bridge_;
  Status away_;
  std::thread thread_;
};

}  // namespace imctl::host

#endif  // IMCTL_HOST_LINK_SUPERVISOR_H
