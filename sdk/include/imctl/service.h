// A module in C++: derive from Module, serve() its methods in the constructor, close with
// IMCTL_MODULE.
//
//   class Greeter : public imctl::Module {
//    public:
//     explicit Greeter(const imctl::Host& host) : Module(host) {
//       serve("/demo.v1.Greeter/Hello", &Greeter::hello);
//     }
//    private:
//     imctl::Result<HelloReply> hello(const HelloRequest& request, const imctl::Context&) { ... }
//   };
//   IMCTL_MODULE(Greeter)
//
// What a handler may look like (C: const imctl::Context&):
//   unary             Result<Reply> f(const Request&, C)            at once (may block: `blocking`)
//                     Task<Result<Reply>> f(const Request&, C)      a coroutine
//                     void f(const Request&, C, Responder<Reply>)   finished later, from any thread
//   server streaming  Task<Status> f(const Request&, Writer<Reply>&)
//   client streaming  Task<Result<Reply>> f(Reader<Request>&)
//   bidirectional     Task<Status> f(Stream<Request, Reply>&)
// A coroutine's request and context live until it ends. An exception ends the call with INTERNAL.
#ifndef IMCTL_SERVICE_H
#define IMCTL_SERVICE_H

#include <exception>
#include <memory>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

#include "imctl/call.h"
#include "imctl/client.h"
#include "imctl/task.h"

namespace imctl {

// What prepare is given.
class Settings {
 public:
  explicit Settings(const imctl_settings* raw) : raw_(raw) {}
  std::string_view data_dir() const { return to_view(raw_->data_dir); }
  std::string_view domain() const { return to_view(raw_->domain); }
  template <class Config>
  Config as() const {
    Config config;
    config.ParseFromArray(raw_->config.data, static_cast<int>(raw_->config.size));
    return config;
  }

 private:
  const imctl_settings* raw_;
};

namespace detail {

inline Status internal_error(const char* what) {
  return {IMCTL_INTERNAL, std::string("the handler threw: ") + what};
}

// Runs f and makes a Status of what it throws: nothing is thrown through the ABI.
template <class F>
auto guarded(F&& f) -> decltype(f()) {
  try {
    return f();
  } catch (const std::exception& e) {
    return internal_error(e.what());
  } catch (...) {
    return internal_error("something that is not a std::exception");
  }
}

template <class T>
Task<T> guarded_task(Task<T> task) {
  try {
    co_return co_await std::move(task);
  } catch (const std::exception& e) {
    co_return internal_error(e.what());
  } catch (...) {
    co_return internal_error("something that is not a std::exception");
  }
}

struct HandlerBase {
  explicit HandlerBase(const Host& h) : host(h) {}
  virtual ~HandlerBase() = default;
  virtual void start(imctl_call* call, const imctl_context* context, Buffer request) = 0;

  template <class Request>
  bool parse(imctl_call* call, const Buffer& bytes, Request* request) const {
    if (Codec<Request>::parse(bytes, request)) return true;
    host.finish(
        call,
        Status(IMCTL_INVALID_ARGUMENT, "the request is not a valid " + Codec<Request>::name()),
        Buffer());
    return false;
  }

  Host host;
};

template <class Request, class F>
struct Handler : HandlerBase {
  Handler(const Host& h, F f) : HandlerBase(h), run(std::move(f)) {}
  void start(imctl_call* call, const imctl_context* context, Buffer request) override {
    run(*this, call, context, std::move(request));
  }
  F run;
};

template <class Reply>
void answer(const Host& host, imctl_call* call, const Result<Reply>& result) {
  Responder<Reply>(host, call).finish(result);
}

}  // namespace detail

// What a module says of itself: names like "queue_bytes", and values for people to read.
class State {
 public:
  using Item = void (*)(void* sink, imctl_str name, imctl_str value);
  State(Item item, void* sink) : item_(item), sink_(sink) {}

  void add(std::string_view name, std::string_view value) {
    item_(sink_, to_str(name), to_str(value));
  }
  template <class Number>
    requires std::is_arithmetic_v<Number>
  void add(std::string_view name, Number value) {
    add(name, std::string_view(std::to_string(value)));
  }

 private:
  const Item item_;
  void* const sink_;
};

class Module {
 public:
  explicit Module(const Host& host) : host_(host) {}
  Module(const Module&) = delete;
  Module& operator=(const Module&) = delete;
  virtual ~Module() = default;

  // The steps of imctl_module, for what the module needs of them.
  virtual Status prepare(const Settings& /*settings*/) { return {}; }
  virtual Status activate() { return {}; }
  virtual Status quiesce() { return {}; }
  virtual Status deactivate() { return {}; }
  // imctl.settings/1: settings declared `live` changed; calls are served meanwhile. A module that
  // has such settings overrides it, as a public member.
  virtual Status apply(const Settings& /*settings*/) { return {}; }
  // imctl.state/1: what there is to say of this instance to those who look for what is wrong.
  // Calls are served meanwhile.
  virtual void report(State& /*state*/) {}
  virtual const void* table(std::string_view /*name*/) { return nullptr; }
  // imctl.handover/1: state in memory that goes to the copy that replaces this one; empty: none.
  virtual Result<std::string> save() { return std::string(); }
  virtual Status restore(std::string_view /*state*/) { return {}; }

  const Host& host() const { return host_; }
  const std::vector<imctl_method>& methods() const { return methods_; }

  // Has `self` serve a method; it lives as long as the module. So a service may be a class of its
  // own.
  template <class Self, class Request, class Reply>
  void serve(const char* name, Self* self,
             Result<Reply> (Self::*f)(const Request&, const Context&)) {
    add<Request>(name, [self, f](detail::HandlerBase& h, imctl_call* call, const imctl_context* raw,
                                 Buffer bytes) {
      Request request;
      if (!h.parse(call, bytes, &request)) return;
      Context context(h.host, call, raw);
      detail::answer<Reply>(h.host, call, detail::guarded([&]() -> Result<Reply> {
                              return (self->*f)(request, context);
                            }));
    });
  }

  template <class Self, class Request, class Reply>
  void serve(const char* name, Self* self,
             Task<Result<Reply>> (Self::*f)(const Request&, const Context&)) {
    add<Request>(name, [self, f](detail::HandlerBase& h, imctl_call* call, const imctl_context* raw,
                                 Buffer bytes) {
      Request request;
      if (!h.parse(call, bytes, &request)) return;
      [](Self* s, auto method, Host host, imctl_call* c, const imctl_context* r,
         Request req) -> detail::Detached {
        Context context(host, c, r);
        Result<Reply> result = co_await detail::guarded_task((s->*method)(req, context));
        detail::answer<Reply>(host, c, result);
      }(self, f, h.host, call, raw, std::move(request));
    });
  }

  template <class Self, class Request, class Reply>
  void serve(const char* name, Self* self,
             void (Self::*f)(const Request&, const Context&, Responder<Reply>)) {
    add<Request>(name, [self, f](detail::HandlerBase& h, imctl_call* call, const imctl_context* raw,
                                 Buffer bytes) {
      Request request;
      if (!h.parse(call, bytes, &request)) return;
      Context context(h.host, call, raw);
      // If it throws, the responder is dropped on the way and ends the call.
      (void)detail::guarded([&]() -> Status {
        (self->*f)(request, context, Responder<Reply>(h.host, call));
        return {};
      });
    });
  }

  template <class Self, class Request, class Reply>
  void serve(const char* name, Self* self,
             Task<Status> (Self::*f)(const Request&, Writer<Reply>&)) {
    add<Request>(name, [self, f](detail::HandlerBase& h, imctl_call* call, const imctl_context* raw,
                                 Buffer bytes) {
      Request request;
      if (!h.parse(call, bytes, &request)) return;
      auto* state = new detail::StreamState(h.host, call, raw);
      state->bind();
      [](Self* s, auto method, detail::StreamState* st, Request req) -> detail::Detached {
        Writer<Reply> writer(st);
        Status status = co_await detail::guarded_task((s->*method)(req, writer));
        finish_stream(st, status, Buffer());
      }(self, f, state, std::move(request));
    });
  }

  template <class Self, class Request, class Reply>
  void serve(const char* name, Self* self, Task<Result<Reply>> (Self::*f)(Reader<Request>&)) {
    add<Request>(name, [self, f](detail::HandlerBase& h, imctl_call* call, const imctl_context* raw,
                                 const Buffer& /*none*/) {
      auto* state = new detail::StreamState(h.host, call, raw);
      state->bind();
      [](Self* s, auto method, detail::StreamState* st) -> detail::Detached {
        Reader<Request> reader(st);
        Result<Reply> result = co_await detail::guarded_task((s->*method)(reader));
        if (reader.bad()) result = bad_message<Request>();
        Buffer reply = result.ok() ? Codec<Reply>::serialize(st->host(), *result) : Buffer();
        finish_stream(st, result.status(), std::move(reply));
      }(self, f, state);
    });
  }

  template <class Self, class Request, class Reply>
  void serve(const char* name, Self* self, Task<Status> (Self::*f)(Stream<Request, Reply>&)) {
    add<Request>(name, [self, f](detail::HandlerBase& h, imctl_call* call, const imctl_context* raw,
                                 const Buffer& /*none*/) {
      auto* state = new detail::StreamState(h.host, call, raw);
      state->bind();
      [](Self* s, auto method, detail::StreamState* st) -> detail::Detached {
        Stream<Request, Reply> stream(st);
        Status status = co_await detail::guarded_task((s->*method)(stream));
        if (stream.bad()) status = bad_message<Request>();
        finish_stream(st, status, Buffer());
      }(self, f, state);
    });
  }

  // At the level of the ABI, for who has use for events and none for coroutines: `start` as
  // imctl_method has it.
  void serve(const char* name, imctl_handler start, void* user) {
    methods_.push_back({sizeof(imctl_method), 0, to_str(name), start, user});
  }

 protected:
  // The same of the module itself.
  template <class Self, class Returned, class... Given>
  void serve(const char* name, Returned (Self::*f)(Given...)) {
    serve(name, static_cast<Self*>(this), f);
  }

 private:
  template <class Request>
  static Status bad_message() {
    return {IMCTL_INVALID_ARGUMENT,
            "a message of the stream is not a valid " + Codec<Request>::name()};
  }
  static void finish_stream(detail::StreamState* state, const Status& status, Buffer reply) {
    Host host = state->host();
    imctl_call* call = state->context().call();
    state->drop();
    host.finish(call, status, std::move(reply));
  }

  template <class Request, class F>
  void add(const char* name, F run) {
    handlers_.push_back(std::make_unique<detail::Handler<Request, F>>(host_, std::move(run)));
    methods_.push_back(
        {sizeof(imctl_method), 0, to_str(name),
         [](void* user, imctl_call* call, const imctl_context* context, imctl_buffer* request) {
           auto* handler = static_cast<detail::HandlerBase*>(user);
           handler->start(call, context, handler->host.adopt(request));
         },
         handlers_.back().get()});
  }

  Host host_;
  std::vector<std::unique_ptr<detail::HandlerBase>> handlers_;
  std::vector<imctl_method> methods_;
};

namespace detail {

// The C struct over a Module type.
template <class T>
struct ModuleEntry {
  template <class F>
  static int32_t step(imctl_error* error, F&& f) {
    return guarded([&]() -> Status { return f(); }).fill(error);
  }
  static T* self(void* instance) { return static_cast<T*>(instance); }

  static constexpr imctl_handover_table kHandover = {
      sizeof(imctl_handover_table), 0,
      [](void* instance, imctl_buffer** state, imctl_error* error) {
        return step(error, [&]() -> Status {
          Result<std::string> saved = self(instance)->save();
          if (!saved.ok()) return saved.status();
          if (saved->empty()) return {};
          Buffer bytes = self(instance)->host().copy(*saved);
          if (!bytes) return {IMCTL_RESOURCE_EXHAUSTED, "no memory for the state"};
          *state = bytes.give();
          return {};
        });
      },
      [](void* instance, imctl_str state, imctl_error* error) {
        return step(error, [&] { return self(instance)->restore(to_view(state)); });
      }};

  static constexpr imctl_settings_table kSettings = {
      sizeof(imctl_settings_table), 0,
      [](void* instance, const imctl_settings* settings, imctl_error* error) {
        return step(error, [&] { return self(instance)->apply(Settings(settings)); });
      }};
  static constexpr imctl_state_table kState = {
      sizeof(imctl_state_table), 0,
      [](void* instance, void (*item)(void*, imctl_str, imctl_str), void* sink) {
        State state(item, sink);
        (void)guarded([&]() -> Status {
          self(instance)->report(state);
          return {};
        });
      }};

  static constexpr bool kApplies =
      !std::is_same_v<decltype(&T::apply), Status (Module::*)(const Settings&)>;

  static constexpr imctl_module kModule = {
      sizeof(imctl_module),
      IMCTL_ABI,
      [](imctl_host* host, void** instance, imctl_error* error) {
        return step(error, [&] {
          *instance = std::make_unique<T>(Host(host)).release();
          return Status();
        });
      },
      [](void* instance, size_t* count) -> const imctl_method* {
        *count = self(instance)->methods().size();
        return self(instance)->methods().data();
      },
      [](void* instance, const imctl_settings* settings, imctl_error* error) {
        return step(error, [&] { return self(instance)->prepare(Settings(settings)); });
      },
      [](void* instance, imctl_error* error) {
        return step(error, [&] { return self(instance)->activate(); });
      },
      [](void* instance, imctl_error* error) {
        return step(error, [&] { return self(instance)->quiesce(); });
      },
      [](void* instance, imctl_error* error) {
        return step(error, [&] { return self(instance)->deactivate(); });
      },
      [](void* instance) { delete self(instance); },
      [](void* instance, imctl_str name) -> const void* {
        if (to_view(name) == IMCTL_HANDOVER_TABLE) return &kHandover;
        if (kApplies && to_view(name) == IMCTL_SETTINGS_TABLE) return &kSettings;
        if (to_view(name) == IMCTL_STATE_TABLE) return &kState;
        return self(instance)->table(to_view(name));
      }};
};

}  // namespace detail

}  // namespace imctl

#define IMCTL_MODULE(Type)                                               \
  extern "C" IMCTL_EXPORT const imctl_module* imctl_module_entry(void) { \
    return &imctl::detail::ModuleEntry<Type>::kModule;                   \
  }

#endif  // IMCTL_SERVICE_H
