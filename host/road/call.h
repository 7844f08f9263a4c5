// One call between a caller (a front end, a module) and the module that serves it.
//
// Both ends act from any thread. What happens is told to them by callbacks that are never run
// beside each other for one call and never re-enter: whoever changes the call's state runs what
// became due, unless another thread is at it already, which then does it too (`pump`). So chains of
// reads and writes need no stack, and no callback runs under the lock.
#ifndef IMCTL_HOST_ROAD_CALL_H
#define IMCTL_HOST_ROAD_CALL_H

#include <atomic>
#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "imctl/module.h"
#include "imctl/status.h"
#include "road/buffer.h"
#include "road/call_handle.h"
#include "road/call_ref.h"
#include "road/identity.h"
#include "road/pipe.h"
#include "road/timer.h"

namespace imctl::host {

class Call;
class Instance;
class MethodSlot;
class Road;
struct MethodInfo;
struct Route;
struct Served;

// Metadata that the host sets for the module which serves a call: where the call comes from, of
// methods that anybody may call, and the name of the token that it is made with.
inline constexpr std::string_view kPeerMetadata = "imctl-peer";
inline constexpr std::string_view kCredentialMetadata = "imctl-credential";

using Metadata = std::vector<std::pair<std::string, std::string>>;

// The caller's end. Lives until on_finish returned.
class Caller {
 public:
  virtual ~Caller() = default;
  // Answer to caller_read; none at the end. `more`: the next one is there already.
  virtual void on_message(BufferRef message, bool more) = 0;
  // Answer to caller_write.
  virtual void on_written(bool accepted) = 0;
  // The last. `reply`: of a unary or client-streaming call that went well.
  virtual void on_finish(const Status& status, BufferRef reply) = 0;
};

// The modules that serve the calls on whose behalf a call is made. By value: those calls may be
// gone.
struct Lineage {
  const Instance* instance;
  std::shared_ptr<const Lineage> above;
};

// What a call is started with.
struct CallParams {
  MethodSlot* target = nullptr;
  imctl_principal_kind principal_kind = IMCTL_PRINCIPAL_NONE;
  std::string principal;
  // What the caller brings to prove that they are a user, until somebody has looked at it: a token,
  // or the user whom their certificate names.
  std::string token;
  std::string certified_user;
  std::shared_ptr<const Grant> grant;  // of a user, unless another host vouches for them
  std::string caller_module;           // empty: a front end
  const Instance* caller = nullptr;    // that module, if it is here; stays while the call does
  std::string node;                    // the other host that it came from, as proved; empty: none
  std::string peer;             // where it came in: "ipv4:127.0.0.1:4711", "unix:", "embedded"
  std::string call_id;          // empty: a new one
  int64_t deadline = 0;         // 0: none
  bool watch_deadline = false;  // the caller does not end the call at its deadline by itself
  uint32_t flags = 0;
  uint32_t depth = 0;
  Call* parent = nullptr;  // its cancel is this one's too; borrowed
  uint64_t link_id = 0;    // its number on the link to the host, in an isolated module's process
  bool nested = false;     // a call of the same module waits for it, in another process
  std::shared_ptr<const Lineage> lineage;
  Metadata metadata;
  BufferRef request;
};

class Call final : public imctl_call {
 public:
  Call(CallParams params, Caller* caller);
  static void* operator new(size_t size) { return dig_up(size); }
  static void operator delete(void* memory) { ::operator delete(memory); }

  static Call* from(imctl_call* handle) { return static_cast<Call*>(handle); }
  static const Call* from(const imctl_call* handle) { return static_cast<const Call*>(handle); }

  void ref() { refs_.fetch_add(1, std::memory_order_relaxed); }
  void unref() {
    if (refs_.fetch_sub(1, std::memory_order_acq_rel) == 1) destroy();
  }

  // ---- the callee's end
  void finish(Status status, BufferRef reply);
  void bind(const imctl_call_events& events, void* user);
  void read();
  void write(BufferRef message);
  int32_t cancelled() const { return cancel_code_.load(std::memory_order_acquire); }
  std::string_view metadata(std::string_view key) const;
  void add_trailer(std::string_view key, std::string_view value);

  // ---- the caller's end
  void caller_read();
  void caller_write(BufferRef message);
  void caller_writes_done();
  // The caller hears of it at once, the callee as a notice.
  void cancel(Status status);
  void cancel(int32_t code, std::string_view why) {
    cancel(Status(static_cast<imctl_code>(code), std::string(why)));
  }
  // The same for a caller whose transport does not say whether it left or its time was over.
  void caller_gone();
  // Is there a message for caller_read?
  bool has_message() {
    std::lock_guard lock(mutex_);
    return !outbound_.empty();
  }
  // Has the module that serves it, if there is one, ended it too?
  bool callee_ended() {
    std::lock_guard lock(mutex_);
    return callee_finished_;
  }
  // From on_finish on.
  const Metadata& trailers() const { return trailers_; }
  std::string_view trailer(std::string_view key) const;

  // ---- for the dispatcher
  // The module that serves it was entered: runs the handler, here or on its pool. The dispatcher
  // holds a reference meanwhile.
  void serve(std::shared_ptr<Instance> instance, const Served& served);
  // Nobody serves it.
  void refuse(Road& road, Status status);
  // It has to wait, for its module, which is being replaced, or until it is known who calls. The
  // caller may end it meanwhile.
  void wait();
  // The wait is over: true, serve() or refuse() it. False: it ended, and that was that.
  bool wait_over();
  // Its module goes: has a stream that can say where to resume end itself, else ends it so.
  void move(const Status& status);
  // Whose call it is: before the handler begins.
  void identify(std::shared_ptr<const Grant> grant, std::shared_ptr<Identity> identity);
  // The user is let in because it is about what is theirs, not by a role: that cannot be taken
  // away.
  void mark_own() { own_ = true; }
  bool is_own() const { return own_; }
  // From now on it ends when the identity does; once, of a stream from outside.
  void open_for_identity();
  // It came from outside, and how it ends is recorded before the caller hears of it. As long as it
  // is not served: then the method is that of another copy of its module.
  void audit_as(std::shared_ptr<const Route> route);
  // Before one of those above, if there is a parent: takes a place among its children. A parent
  // that is cancelled already cancels this.
  void join_parent();
  // Has the timer end it at its deadline, if it has one; for callers that would not.
  void watch_deadline(Timer* timer);

  const CallParams& params() const { return params_; }
  // That serves it; nullptr as long as none does.
  Instance* instance() const { return instance_.get(); }
  // Was it made, over whatever calls, on behalf of one that `instance` served?
  bool descends_from(const Instance* instance) const;
  const MethodInfo* method() const { return method_; }
  // For calls made on behalf of this one, while it is served.
  std::shared_ptr<const Lineage> lineage() const {
    return std::make_shared<const Lineage>(Lineage{instance_.get(), params_.lineage});
  }

 private:
  ~Call() = default;
  void destroy();
  template <class F>
  bool told(const char* what, F&& event);
  void abandon();
  void start_handler();
  void run_handler();
  void release_events();
  static void run_on_pool(void* user);
  void pump(std::unique_lock<std::mutex>& lock);
  bool step(std::unique_lock<std::mutex>& lock);
  bool callee_step(std::unique_lock<std::mutex>& lock);
  bool caller_step(std::unique_lock<std::mutex>& lock);
  void finish_caller(std::unique_lock<std::mutex>& lock);
  void retire_callee(std::unique_lock<std::mutex>& lock);
  void leave_parent();
  void log_end(Road& road, int32_t code, int64_t took) const;

  std::atomic<uint32_t> refs_{2};  // the caller's handle; the callee's, or the host's until refused
  CallParams params_;
  imctl_context context_;
  Caller* const caller_;
  std::shared_ptr<Instance> instance_;
  const MethodInfo* method_ = nullptr;
  const imctl_method* entry_ = nullptr;
  // Of a call that is audited, until it ended: what it is about, and its request, or its stream's
  // first message.
  std::shared_ptr<const Route> audited_;
  BufferRef audited_request_;
  int64_t started_ = 0;
  size_t request_bytes_ = 0;  // what it counts for while it is in work

  std::mutex mutex_;
  bool pumping_ = false;  // a thread is at the callbacks
  bool blocked_ = true;   // none yet: until the handler has begun, or it waits for its module
  uint32_t waits_begun_ = 0;
  uint32_t waits_over_ = 0;
  bool handler_running_ = false;  // of a blocking method
  bool bound_ = false;
  bool callee_finished_ = false;
  bool callee_retired_ = false;
  bool cancel_told_ = false;
  int64_t cancelled_at_ = 0;
  bool reading_ = false;  // the callee waits for a message, or for its write to be accepted
  bool writing_ = false;
  std::optional<Status> moving_;  // to be told; how it ends if the callee does not end it
  bool caller_ready_ = false;     // `status_` and `reply_` are what the caller will be told
  bool caller_told_ = false;
  std::atomic<int32_t> cancel_code_{0};
  imctl_call_events events_{};
  void* events_user_ = nullptr;
  Status status_;
  Status callee_status_;  // if the caller had left before
  BufferRef reply_;
  Pipe inbound_;   // caller to callee
  Pipe outbound_;  // callee to caller
  Metadata trailers_;
  std::vector<Call*> children_;
  Timer* timer_ = nullptr;
  Timer::Id deadline_timer_;
  std::shared_ptr<Identity> identity_;
  bool own_ = false;     // set before the handler begins
  bool opened_ = false;  // identity_ was told
};

}  // namespace imctl::host

#endif  // IMCTL_HOST_ROAD_CALL_H
