// A road with one module on it. Calls come from the host over the link, and what the module calls
// goes there, its own methods too: so that bindings, access, limits and swaps hold for them as they
// do in the host.
#ifndef IMCTL_HOST_RUNNER_RUNNER_H
#define IMCTL_HOST_RUNNER_RUNNER_H

#include <atomic>
#include <condition_variable>
#include <deque>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "imctl/status.h"
#include "link/ask.h"
#include "link/bridge.h"
#include "link/hello.h"
#include "road/instance.h"
#include "road/road.h"

namespace imctl::host {

class ModuleOnce;

class Runner final : public Road, public Bridge::Owner {
 public:
  explicit Runner(Hello hello);

  // Takes the link; on the main thread. Ends the process when the host closes it, whatever the
  // module does.
  [[noreturn]] void run(int link);

  // ---- of Road
  void write_log(imctl_log_level level, std::string_view module, const Call* call,
                 std::string_view text) override;
  const std::atomic<int32_t>& log_level(std::string_view /*module*/) override { return log_level_; }
  void health_changed(Instance& instance) override;
  Result<BufferRef> to_json(const Instance& instance, std::string_view type,
                            std::string_view message) override;
  Result<BufferRef> from_json(const Instance& instance, std::string_view type,
                              std::string_view json) override;
  Status not_served(std::string_view method) const override;
  std::shared_ptr<const Route> route_out(MethodSlot& method) override;

  // ---- of Bridge::Owner
  Result<Bridge::Admitted> admit(uint64_t id, StartFrame& frame) override;
  void describe(const Call& call, StartFrame* frame) override;
  void on_frame(FrameType type, uint64_t id, std::string_view head, BufferRef tail) override;
  [[noreturn]] void on_violation(const std::string& what) override;
  [[noreturn]] void on_closed(const Status& why) override;

 private:
  struct Control {
    uint64_t id;
    std::string head;
    BufferRef tail;
  };
  struct Sent {
    double value = 0;
    uint64_t count = 0;
    std::vector<uint64_t> buckets;
  };

  Result<BufferRef> carry_out(Step step, HeadReader& in, const BufferRef& tail);
  Status create();
  Status drain();
  void answer(const Control& control);
  void send_metrics();

  const Hello hello_;
  std::atomic<int32_t> log_level_;
  Asker asker_{kAskDescriptor};
  std::shared_ptr<Bridge> bridge_;
  std::shared_ptr<Instance> module_;
  ModuleOnce* code_ = nullptr;     // the module's
  std::shared_ptr<Instance> out_;  // stands for all that the host serves
  std::map<const Metric*, Sent> metrics_;
  Metric* const dropped_lines_ =
      metrics().get(IMCTL_COUNTER, "imctl_log_dropped_lines_total", "",
                    "Lines that were not logged because there were too many");

  std::mutex mutex_;
  std::map<std::string, std::unique_ptr<MethodSlot>, std::less<>> served_;
  std::condition_variable wake_;
  std::deque<Control> controls_;
  std::deque<std::unique_ptr<Served>> out_methods_;
};

}  // namespace imctl::host

#endif  // IMCTL_HOST_RUNNER_RUNNER_H
