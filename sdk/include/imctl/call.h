// A call that a module serves: its context, its streams, and finishing it later.
#ifndef IMCTL_CALL_H
#define IMCTL_CALL_H

#include <atomic>
#include <coroutine>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <utility>

#include "imctl/host.h"

namespace imctl {

// Who calls, and within which bounds. Valid until the call is finished.
class Context {
 public:
  Context(const Host& host, imctl_call* call, const imctl_context* raw)
      : host_(&host), call_(call), raw_(raw) {}

  const Host& host() const { return *host_; }
  imctl_call* call() const { return call_; }
  std::string_view principal() const { return to_view(raw_->principal); }
  imctl_principal_kind principal_kind() const {
    return static_cast<imctl_principal_kind>(raw_->principal_kind);
  }
  std::string_view caller_module() const { return to_view(raw_->caller_module); }
  std::string_view call_id() const { return to_view(raw_->call_id); }
  int64_t deadline() const { return raw_->deadline; }
  uint32_t depth() const { return raw_->depth; }
  bool dry_run() const { return (raw_->flags & IMCTL_DRY_RUN) != 0; }

  // Did the caller go away, or its time end? From any thread.
  bool cancelled() const { return host_->calls().cancelled(call_) != 0; }
  std::string_view metadata(std::string_view key) const {
    return to_view(host_->calls().metadata(call_, to_str(key)));
  }
  void add_trailer(std::string_view key, std::string_view value) const {
    host_->calls().add_trailer(call_, to_str(key), to_str(value));
  }
  // Where the caller of a stream that was ended by a move wants it to go on; empty: from the start.
  std::string_view resume_token() const { return metadata(IMCTL_RESUME_KEY); }
  // Before a moved stream is ended with UNAVAILABLE: what the caller is to give back.
  void set_resume_token(std::string_view token) const { add_trailer(IMCTL_RESUME_KEY, token); }
  void log(imctl_log_level level, std::string_view text) const { host_->log(level, text, call_); }

 private:
  const Host* host_;
  imctl_call* call_;
  const imctl_context* raw_;
};

// The duty to finish one call, passed around: finish it from any thread. Dropped unfinished, it
// ends the call with INTERNAL, so that no client waits for ever.
template <class Reply>
class Responder {
 public:
  Responder(const Host& host, imctl_call* call) : host_(&host), call_(call) {}
  Responder(Responder&& other) noexcept
      : host_(other.host_), call_(std::exchange(other.call_, nullptr)) {}
  Responder& operator=(Responder&& other) noexcept {
    std::swap(host_, other.host_);
    std::swap(call_, other.call_);
    return *this;
  }
  ~Responder() {
    if (call_ != nullptr) finish(Status(IMCTL_INTERNAL, "the handler dropped the call"));
  }

  void finish(const Reply& reply) {
    Buffer bytes = Codec<Reply>::serialize(*host_, reply);
    if (!bytes)
      return finish(
          Status(IMCTL_RESOURCE_EXHAUSTED, "no memory for the reply, or it is over 2 GiB"));
    host_->finish(std::exchange(call_, nullptr), Status(), std::move(bytes));
  }
  void finish(const Status& status) {
    host_->finish(std::exchange(call_, nullptr), status, Buffer());
  }
  void finish(const Result<Reply>& result) {
    if (result.ok()) {
      finish(*result);
    } else {
      finish(result.status());
    }
  }

 private:
  const Host* host_;
  imctl_call* call_;
};

namespace detail {

// What stands behind a stream's handler: one reader and one writer may wait, each for one event.
class StreamState {
 public:
  StreamState(const Host& host, imctl_call* call, const imctl_context* context)
      : host_(host), context_(host_, call, context) {}
  virtual ~StreamState() = default;

  void bind() { host_.calls().bind(context_.call(), &events(), this); }
  const Context& context() const { return context_; }
  const Host& host() const { return host_; }

  struct ReadAwaiter {
    StreamState* state;
    bool await_ready() const noexcept { return false; }
    void await_suspend(std::coroutine_handle<> handle) const {
      // Nothing of this frame may be touched once read is called: the answer may come at once.
      StreamState* s = state;
      s->reader_ = handle;
      s->host_.calls().read(s->context_.call());
    }
    Buffer await_resume() const { return std::move(state->message_); }
  };
  struct WriteAwaiter {
    StreamState* state;
    imctl_buffer* message;
    bool await_ready() const noexcept { return message == nullptr; }
    void await_suspend(std::coroutine_handle<> handle) const {
      StreamState* s = state;
      s->writer_ = handle;
      s->host_.calls().write(s->context_.call(), message);
    }
    bool await_resume() const { return message != nullptr && state->accepted_; }
  };

  void on_cancel(std::function<void(imctl_code)> notice) { on_cancel_ = std::move(notice); }
  void on_moving(std::function<void()> notice) { on_moving_ = std::move(notice); }

  void drop() {
    if (owners_.fetch_sub(1, std::memory_order_acq_rel) == 1) delete this;
  }

 private:
  static const imctl_call_events& events() {
    static constexpr imctl_call_events kEvents = {
        sizeof(imctl_call_events),
        0,
        [](void* user, imctl_buffer* message) {
          auto* s = static_cast<StreamState*>(user);
          s->message_ = s->host_.adopt(message);
          std::exchange(s->reader_, nullptr).resume();
        },
        [](void* user, int32_t accepted) {
          auto* s = static_cast<StreamState*>(user);
          s->accepted_ = accepted != 0;
          std::exchange(s->writer_, nullptr).resume();
        },
        [](void* user, int32_t code) {
          auto* s = static_cast<StreamState*>(user);
          if (s->on_cancel_) s->on_cancel_(static_cast<imctl_code>(code));
        },
        [](void* user) { static_cast<StreamState*>(user)->drop(); },
        [](void* user) -> int32_t {
          auto* s = static_cast<StreamState*>(user);
          if (!s->on_moving_) return 0;
          s->on_moving_();
          return 1;
        }};
    return kEvents;
  }

  Host host_;
  Context context_;
  std::coroutine_handle<> reader_;
  std::coroutine_handle<> writer_;
  Buffer message_;
  bool accepted_ = false;
  std::function<void(imctl_code)> on_cancel_;
  std::function<void()> on_moving_;
  std::atomic<int> owners_{2};  // the handler's coroutine, the host's events
};

}  // namespace detail

// The messages that a client streams. `co_await read()` gives the next, or nothing at the end, also
// when the call was cancelled. A message that does not parse ends the stream and `bad()` says so.
template <class Request>
class Reader {
 public:
  explicit Reader(detail::StreamState* state) : state_(state) {}

  const Context& context() const { return state_->context(); }
  // Has `notice` told that the call was cancelled; outstanding reads and writes are answered
  // anyway. To be set before the handler first waits.
  void on_cancel(std::function<void(imctl_code)> notice) { state_->on_cancel(std::move(notice)); }
  // Has `notice` told that the module is being replaced: the handler is to end soon, with
  // UNAVAILABLE and maybe a resume token. Without a notice the host ends the stream. To be set
  // before the handler first waits.
  void on_moving(std::function<void()> notice) { state_->on_moving(std::move(notice)); }

  auto read() {
    struct Awaiter : detail::StreamState::ReadAwaiter {
      bool* bad;
      std::optional<Request> await_resume() const {
        Buffer bytes = ReadAwaiter::await_resume();
        Request request;
        if (!bytes) return std::nullopt;
        if (!Codec<Request>::parse(bytes, &request)) {
          *bad = true;
          return std::nullopt;
        }
        return request;
      }
    };
    return Awaiter{{state_}, &bad_};
  }
  bool bad() const { return bad_; }

 protected:
  detail::StreamState* state_;
  bool bad_ = false;
};

// The messages that a handler streams. `co_await write(m)` gives true when `m` was accepted, false
// when the stream is gone: then end.
template <class Reply>
class Writer {
 public:
  explicit Writer(detail::StreamState* state) : state_(state) {}

  const Context& context() const { return state_->context(); }
  // Has `notice` told that the call was cancelled; outstanding reads and writes are answered
  // anyway. To be set before the handler first waits.
  void on_cancel(std::function<void(imctl_code)> notice) { state_->on_cancel(std::move(notice)); }
  // Has `notice` told that the module is being replaced: the handler is to end soon, with
  // UNAVAILABLE and maybe a resume token. Without a notice the host ends the stream. To be set
  // before the handler first waits.
  void on_moving(std::function<void()> notice) { state_->on_moving(std::move(notice)); }

  auto write(const Reply& reply) {
    return detail::StreamState::WriteAwaiter{state_,
                                             Codec<Reply>::serialize(state_->host(), reply).give()};
  }

 protected:
  detail::StreamState* state_;
};

// Both at once. One coroutine may read while another writes.
template <class Request, class Reply>
class Stream : public Reader<Request>, public Writer<Reply> {
 public:
  explicit Stream(detail::StreamState* state) : Reader<Request>(state), Writer<Reply>(state) {}
  using Reader<Request>::context;
  using Reader<Request>::on_cancel;
  using Reader<Request>::on_moving;
};

}  // namespace imctl

#endif  // IMCTL_CALL_H
