// Calls of other services through the host, typed.
#ifndef IMCTL_CLIENT_H
#define IMCTL_CLIENT_H

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <coroutine>
#include <memory>
#include <mutex>
#include <optional>
#include <string_view>
#include <utility>
#include <vector>

#include "imctl/call.h"
#include "imctl/task.h"

namespace imctl {

struct CallOptions {
  // On whose behalf; absent: the module acts as itself, towards services in its manifest's `needs`
  // only.
  const Context* parent = nullptr;
  std::chrono::nanoseconds timeout{0};  // 0: the parent's deadline only
  bool dry_run = false;
  // For the callee to read. What it points to must be there until the call starts.
  std::vector<imctl_metadata> metadata = {};

  imctl_client_options raw() const {
    return {sizeof(imctl_client_options),
            dry_run ? static_cast<uint32_t>(IMCTL_DRY_RUN) : 0,
            parent == nullptr ? nullptr : parent->call(),
            timeout.count(),
            metadata.data(),
            metadata.size()};
  }
};

namespace detail {

// Starts a unary call when awaited; resumes on the thread that finished it. A call that is finished
// before its start returns suspends nothing, so that a loop of such calls needs no stack.
struct UnaryAwaiter {
  const Host& host;
  const imctl_target* target;
  CallOptions options;
  Buffer request;
  Status status = Status();
  Buffer reply = Buffer();
  std::coroutine_handle<> awaiter = nullptr;
  std::atomic<bool> met = false;  // of start's return and on_finish, the second goes on

  bool await_ready() const noexcept { return false; }
  bool await_suspend(std::coroutine_handle<> handle) {
    awaiter = handle;
    imctl_client_options raw = options.raw();
    const imctl_client_table& client = host.client();
    client.release(client.start(host.raw(), target, &raw, request.give(), &events(), this));
    return !met.exchange(true, std::memory_order_acq_rel);
  }
  void await_resume() const noexcept {}

  static const imctl_client_events& events() {
    static constexpr imctl_client_events kEvents = {
        sizeof(imctl_client_events), 0, nullptr, nullptr,
        [](void* user, const imctl_status* status, imctl_buffer* reply) {
          auto* self = static_cast<UnaryAwaiter*>(user);
          self->status = Status(status);
          self->reply = self->host.adopt(reply);
          if (self->met.exchange(true, std::memory_order_acq_rel)) self->awaiter.resume();
        }};
    return kEvents;
  }
};

template <class Reply>
Result<Reply> parse_reply(const Status& status, const Buffer& bytes) {
  if (!status.ok()) return status;
  Reply reply;
  if (!Codec<Reply>::parse(bytes, &reply)) {
    return Status(IMCTL_INTERNAL, "the reply is not a valid " + Codec<Reply>::name());
  }
  return reply;
}

}  // namespace detail

// A method of another service by name, resolved once. Copies are free.
template <class Request, class Reply>
class Method {
 public:
  Method(const Host& host, std::string_view name)
      : host_(host), target_(host.client().resolve(host.raw(), to_str(name))) {}

  // Unary.
  Task<Result<Reply>> operator()(const Request& request, CallOptions options = {}) const {
    return run(host_, target_, Codec<Request>::serialize(host_, request), std::move(options));
  }

  // Unary, waiting on this thread: on a thread of the module's own pool only.
  Result<Reply> wait(const Request& request, const CallOptions& options = {}) const {
    if (!host_.on_pool_thread()) {
      return Status(IMCTL_FAILED_PRECONDITION,
                    "a call may be waited for only on a thread of the module's own pool");
    }
    struct Waiter {
      const Host& host;
      std::mutex mutex;
      std::condition_variable ready;
      std::optional<Result<Reply>> result;
    } waiter{host_, {}, {}, {}};
    static constexpr imctl_client_events kEvents = {
        sizeof(imctl_client_events), 0, nullptr, nullptr,
        [](void* user, const imctl_status* status, imctl_buffer* reply) {
          auto* w = static_cast<Waiter*>(user);
          Buffer bytes = w->host.adopt(reply);
          Result<Reply> result = detail::parse_reply<Reply>(Status(status), bytes);
          std::lock_guard lock(w->mutex);
          w->result.emplace(std::move(result));
          w->ready.notify_one();
        }};
    imctl_client_options raw = options.raw();
    const imctl_client_table& client = host_.client();
    client.release(client.start(host_.raw(), target_, &raw,
                                Codec<Request>::serialize(host_, request).give(), &kEvents,
                                &waiter));
    std::unique_lock lock(waiter.mutex);
    waiter.ready.wait(lock, [&] { return waiter.result.has_value(); });
    return std::move(*waiter.result);
  }

  const Host& host() const { return host_; }
  const imctl_target* target() const { return target_; }

 private:
  static Task<Result<Reply>> run(Host host, const imctl_target* target, Buffer request,
                                 CallOptions options) {
    detail::UnaryAwaiter call{host, target, std::move(options), std::move(request)};
    co_await call;
    co_return detail::parse_reply<Reply>(call.status, call.reply);
  }

  Host host_;
  const imctl_target* target_;
};

// A streaming call of another service. read, write and finish are awaited; one of each at a time.
// Destroyed early, it cancels.
template <class Request, class Reply>
class ClientStream {
 public:
  // `first`: the request of a server-streaming method; absent if the client streams.
  ClientStream(const Method<Request, Reply>& method, const CallOptions& options = {},
               const Request* first = nullptr)
      : state_(new State(method.host())) {
    imctl_client_options raw = options.raw();
    imctl_buffer* request =
        first == nullptr ? nullptr : Codec<Request>::serialize(state_->host, *first).give();
    const imctl_client_table& client = state_->host.client();
    state_->call =
        client.start(state_->host.raw(), method.target(), &raw, request, &State::events(), state_);
  }
  ClientStream(ClientStream&& other) noexcept : state_(std::exchange(other.state_, nullptr)) {}
  ClientStream& operator=(ClientStream&&) = delete;
  ~ClientStream() {
    if (state_ == nullptr) return;
    state_->host.client().cancel(state_->call);
    state_->drop();
  }

  // Nothing at the end, however it came.
  auto read() {
    struct Awaiter {
      State* state;
      bool await_ready() const noexcept { return false; }
      bool await_suspend(std::coroutine_handle<> handle) const {
        // Nothing of this frame may be touched once read is called, but the state is held.
        State* s = state;
        if (!s->wait(&State::reader, handle)) return false;
        s->host.client().read(s->call);
        s->drop();
        return true;
      }
      std::optional<Reply> await_resume() const {
        Buffer bytes = std::move(state->message);
        Reply reply;
        if (!bytes || !Codec<Reply>::parse(bytes, &reply)) return std::nullopt;
        return reply;
      }
    };
    return Awaiter{state_};
  }

  // False when the call is over.
  auto write(const Request& request) {
    struct Awaiter {
      State* state;
      Buffer message;
      bool await_ready() const noexcept { return !message; }
      bool await_suspend(std::coroutine_handle<> handle) {
        State* s = state;
        s->accepted = false;
        if (!s->wait(&State::writer, handle)) return false;
        s->host.client().write(s->call, message.give());
        s->drop();
        return true;
      }
      bool await_resume() const { return state->accepted; }
    };
    state_->accepted = false;
    return Awaiter{state_, Codec<Request>::serialize(state_->host, request)};
  }

  void writes_done() { state_->host.client().writes_done(state_->call); }
  void cancel() { state_->host.client().cancel(state_->call); }
  // Of the reply's trailing metadata, after the end; IMCTL_RESUME_KEY for one.
  std::string_view trailer(std::string_view key) const {
    return to_view(state_->host.client().trailer(state_->call, to_str(key)));
  }

  // How the call ended, and the reply of a client-streaming one. Read to the end first.
  Task<Result<Buffer>> finish() {
    struct Awaiter {
      State* state;
      bool await_ready() const noexcept { return false; }
      bool await_suspend(std::coroutine_handle<> handle) const {
        State* s = state;
        if (!s->wait(&State::finisher, handle)) return false;
        s->drop();
        return true;
      }
      void await_resume() const noexcept {}
    };
    co_await Awaiter{state_};
    if (!state_->status.ok()) co_return state_->status;
    co_return std::move(state_->reply);
  }

 private:
  // Owned by the stream object, by the host's events until on_finish, and by whoever is about to
  // wait.
  struct State {
    explicit State(const Host& h) : host(h) {}
    ~State() { host.client().release(call); }

    // Has `handle` wait for its event, and holds the state for the caller; false if the call is
    // over.
    bool wait(std::coroutine_handle<> State::*who, std::coroutine_handle<> handle) {
      std::lock_guard lock(mutex);
      if (finished) return false;
      this->*who = handle;
      owners.fetch_add(1, std::memory_order_relaxed);
      return true;
    }
    std::coroutine_handle<> take(std::coroutine_handle<> State::*who) {
      std::lock_guard lock(mutex);
      return std::exchange(this->*who, nullptr);
    }
    void drop() {
      if (owners.fetch_sub(1, std::memory_order_acq_rel) == 1) delete this;
    }

    static const imctl_client_events& events() {
      static constexpr imctl_client_events kEvents = {
          sizeof(imctl_client_events), 0,
          [](void* user, imctl_buffer* message) {
            auto* s = static_cast<State*>(user);
            s->message = s->host.adopt(message);
            if (auto waiting = s->take(&State::reader)) waiting.resume();
          },
          [](void* user, int32_t accepted) {
            auto* s = static_cast<State*>(user);
            s->accepted = accepted != 0;
            if (auto waiting = s->take(&State::writer)) waiting.resume();
          },
          [](void* user, const imctl_status* status, imctl_buffer* reply) {
            auto* s = static_cast<State*>(user);
            s->status = Status(status);
            s->reply = s->host.adopt(reply);
            {
              std::lock_guard lock(s->mutex);
              s->finished = true;
            }
            // Reads and writes that the end overtook are answered by it.
            for (auto who : {&State::reader, &State::writer, &State::finisher}) {
              if (auto waiting = s->take(who)) waiting.resume();
            }
            s->drop();
          }};
      return kEvents;
    }

    Host host;
    imctl_client_call* call = nullptr;
    std::mutex mutex;
    bool finished = false;
    std::coroutine_handle<> reader, writer, finisher;
    Buffer message;
    bool accepted = false;
    Status status;
    Buffer reply;
    std::atomic<int> owners{2};
  };

  State* state_;
};

}  // namespace imctl

#endif  // IMCTL_CLIENT_H
