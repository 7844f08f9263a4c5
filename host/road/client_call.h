// A call that a module makes: the ABI's client table over the caller's end of a Call.
#ifndef IMCTL_HOST_ROAD_CLIENT_CALL_H
#define IMCTL_HOST_ROAD_CLIENT_CALL_H

#include <atomic>

#include "imctl/module.h"
#include "road/call.h"

struct imctl_client_call {};

namespace imctl::host {

class Instance;

class ClientCall final : public imctl_client_call, public Caller {
 public:
  static ClientCall* from(imctl_client_call* handle) { return static_cast<ClientCall*>(handle); }

  // Starts it; the module's handle is the caller's to release.
  static ClientCall* start(Instance* from, const imctl_target* target,
                           const imctl_client_options& options, BufferRef request,
                           const imctl_client_events& events, void* user);

  void release() {
    if (refs_.fetch_sub(1, std::memory_order_acq_rel) == 1) delete this;
  }
  Call& call() { return *call_.get(); }

  void on_message(BufferRef message, bool more) override;
  void on_written(bool accepted) override;
  void on_finish(const Status& status, BufferRef reply) override;

 private:
  template <class F>
  void told(const char* what, F&& event);
  ClientCall(Instance* from, const imctl_client_events& events, void* user);

  std::atomic<int> refs_{2};  // the module's handle; on_finish's
  Instance* const from_;      // kept by its gate until on_finish has returned
  imctl_client_events events_{};
  void* const user_;
  CallRef call_;
};

// What a call that module `from` makes is started with: what it inherits from `parent`, or, without
// one, the module as itself. `timeout` in nanoseconds; 0: none of its own.
CallParams params_from(const Instance* from, const imctl_target* target, Call* parent,
                       uint32_t flags, int64_t timeout);

}  // namespace imctl::host

#endif  // IMCTL_HOST_ROAD_CLIENT_CALL_H
