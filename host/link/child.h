// The process of an isolated module, from its start to its end: its calls, its steps, its output,
// its signs of life.
#ifndef IMCTL_HOST_LINK_CHILD_H
#define IMCTL_HOST_LINK_CHILD_H

#include <poll.h>

#include <atomic>
#include <chrono>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "imctl/status.h"
#include "link/ask.h"
#include "link/bridge.h"
#include "link/child_output.h"
#include "link/child_process.h"
#include "link/hello.h"

namespace imctl::host {

class Instance;
class Metric;

// One thread's, the supervisor's, but for what is said of the bridge.
class Child final : public Bridge::Owner {
 public:
  using Clock = std::chrono::steady_clock;
  struct Reply {
    Status status;
    BufferRef tail;
  };

  // Starts the process; it has not loaded the module yet. `wake`, from any thread: there is
  // something for advance() to see.
  static Result<std::unique_ptr<Child>> start(const std::string& runner, Hello hello,
                                              Instance* instance, std::function<void()> wake);
  // After retire(), once it is idle().
  ~Child() override;

  pid_t pid() const { return process_->pid(); }
  const std::shared_ptr<Bridge>& bridge() const { return bridge_; }

  // Ends all: kills the process if need be, and tells every call so. After this only idle() and
  // the destructor are for use.
  void retire(const Status& for_calls);
  // Calls are not over at once: a caller may be reading what came of a stream, and threads return.
  bool idle() const { return bridge_ == nullptr || bridge_.use_count() == 1; }

  // Asks for a step; reply() has the answer some time later.
  void ask(Step step, std::string_view head, BufferRef tail);
  std::optional<Reply> reply();

  void add_to(std::vector<pollfd>* polled) const;
  // Does what is due, whatever that is; also now and then without a reason.
  void advance();
  // How it ended, in words. Nothing: it has not.
  std::optional<std::string> ended();
  // Reads what it left when it ended.
  void finish_output();

  // Ends it, with a stack of that thread in the log if it can still print one.
  enum class Thread { kLink, kMain };
  void end(Thread thread, const std::string& why);
  // It may go by itself, but not for long.
  void let_go(Clock::duration within);

  // ---- of Bridge::Owner
  Result<Bridge::Admitted> admit(uint64_t id, StartFrame& frame) override;
  void over() override;
  void describe(const Call& call, StartFrame* frame) override;
  Status leaving() override;
  void on_frame(FrameType type, uint64_t id, std::string_view head, BufferRef tail) override;
  void on_violation(const std::string& what) override;
  void on_closed(const Status& why) override;

 private:
  Child(Hello hello, Instance* instance, std::function<void()> wake);
  void check_signs_of_life(Clock::time_point now);
  // In words, that it sent what it may not. Empty: it did not.
  std::string violation();
  void log_line(std::string_view text);
  void on_metric(const MetricFrame& frame);

  const Hello hello_;
  Instance* const instance_;
  const std::function<void()> wake_;
  std::unique_ptr<ChildProcess> process_;
  std::shared_ptr<Bridge> bridge_;
  std::unique_ptr<Answerer> answerer_;
  std::unique_ptr<ChildOutput> out_;
  std::unique_ptr<ChildOutput> err_;

  int32_t log_level_;  // that it knows
  uint64_t asked_ = 0;
  std::string why_;  // it is being ended
  std::optional<Clock::time_point> kill_at_;
  Clock::time_point looked_;
  Clock::duration silent_{0};
  uint64_t pings_ = 0;

  std::atomic<uint64_t> pongs_{0};
  std::atomic<pid_t> link_thread_{0};
  std::atomic<bool> greeted_{false};
  std::atomic<bool> closed_{false};
  std::mutex mutex_;
  std::optional<std::pair<uint64_t, Reply>> reply_;
  std::string violation_;
  std::map<std::pair<std::string, std::string>, Metric*> metrics_;  // the link's thread's
};

}  // namespace imctl::host

#endif  // IMCTL_HOST_LINK_CHILD_H
