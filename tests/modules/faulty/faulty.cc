// Modules that break a rule each, at the level of the ABI, where the C++ layer keeps nobody from
// it. FAULT says which; FAULT_NONE is sound, so that it is the fault which is found.
#include <fcntl.h>
#include <unistd.h>

#include <chrono>
#include <cstring>
#include <memory>
#include <mutex>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include "faulty.pb.h"
#include "imctl/sdk.h"

#define FAULT_NONE 0
#define FAULT_NULL_SLOT 1
#define FAULT_NULL_HANDLER 2
#define FAULT_SHORT_STRUCT 3
#define FAULT_SHORT_METHOD 4
#define FAULT_ABI 5
#define FAULT_DOUBLE_FINISH 6
#define FAULT_LATE_FINISH 7
#define FAULT_NEVER_FINISH 8
#define FAULT_USE_AFTER_FINISH 9
#define FAULT_THROW 10
#define FAULT_SLOW_STOP 11
#define FAULT_THREAD_LOCAL 12
#define FAULT_BLOCKS 13
#define FAULT_GREEDY 14
#define FAULT_CRASH 15
#define FAULT_STRICT 16
#define FAULT_EXPORT 17
#define FAULT_THROW_ALWAYS 18
#define FAULT_VERB 19
#define FAULT_SWAP 20

namespace {

using imctl::to_str;
using imctl::to_view;
using std::chrono::milliseconds;
using std::chrono::seconds;
using v1_Text = imctl::test::faulty::v1::Text;

constexpr int kFault = FAULT;

struct State {
  imctl_host* host = nullptr;
  const imctl_call_table* calls = nullptr;
  std::vector<imctl_method> methods;
  std::mutex mutex;
  std::vector<std::thread> threads;
  std::string lock;

  void on_thread(std::thread thread) {
    std::lock_guard lock(mutex);
    threads.push_back(std::move(thread));
  }
};

void throw_something(bool here) {
  if (here) throw std::runtime_error("out of the module");
}

#if FAULT == FAULT_THREAD_LOCAL
struct Left {
  ~Left() { numbers.clear(); }
  std::vector<int> numbers;
};
thread_local Left left;
#endif

void finish(State* state, imctl_call* call, imctl_code code, const char* text,
            imctl_buffer* reply) {
  imctl_status status{sizeof(imctl_status), code, to_str(text), {}};
  state->host->finish(call, code == IMCTL_OK ? nullptr : &status, reply);
}

// Of a call that is finished.
void call_on_behalf_of(State* state, imctl_call* call) {
  static constexpr imctl_client_events kEvents = {
      sizeof(imctl_client_events), 0, nullptr, nullptr,
      [](void* user, const imctl_status* status, imctl_buffer* reply) {
        imctl_host* host = static_cast<State*>(user)->host;
        host->buffer_release(reply);
        std::string text =
            "the orphan ended with " + std::to_string(status == nullptr ? IMCTL_OK : status->code);
        host->log(host, IMCTL_LOG_WARN, nullptr, to_str(text));
      }};
  const auto* client = static_cast<const imctl_client_table*>(
      state->host->get_table(state->host, to_str(IMCTL_CLIENT_TABLE)));
  const imctl_target* target =
      client->resolve(state->host, to_str("/imctl.test.faulty.v1.Faulty/Echo"));
  const imctl_client_options options{sizeof(imctl_client_options), 0, call, 0, nullptr, 0};
  client->release(client->start(state->host, target, &options,
                                state->host->buffer_new(state->host, 0), &kEvents, state));
}

// ---- Echo

void echo(void* user, imctl_call* call, const imctl_context* /*context*/, imctl_buffer* request) {
  auto* state = static_cast<State*>(user);
  const bool good = v1_Text().ParseFromArray(request->data, static_cast<int>(request->size));
  if (!good && kFault == FAULT_CRASH) {
    volatile int* nowhere = nullptr;
    *nowhere = 1;  // NOLINT: it is what it is for
  }
  if (!good) {
    state->host->buffer_release(request);
    finish(state, call, IMCTL_INVALID_ARGUMENT, "the request is not valid", nullptr);
    return;
  }
#if FAULT == FAULT_THREAD_LOCAL
  left.numbers.push_back(1);
#endif
  if (kFault == FAULT_BLOCKS) std::this_thread::sleep_for(milliseconds(300));
  if (kFault == FAULT_NEVER_FINISH) return state->host->buffer_release(request);
  if (kFault == FAULT_LATE_FINISH) {
    state->on_thread(std::thread([=] {
      while (state->calls->cancelled(call) == 0) std::this_thread::sleep_for(milliseconds(1));
      std::this_thread::sleep_for(milliseconds(2300));
      finish(state, call, IMCTL_OK, "", request);
    }));
    return;
  }
  // Before it finishes, so that it would wait for ever if the host did not see to it.
  if (kFault == FAULT_THROW || kFault == FAULT_THROW_ALWAYS) {
    state->host->buffer_release(request);
    throw_something(true);
  }
  finish(state, call, IMCTL_OK, "", request);
  if (kFault == FAULT_DOUBLE_FINISH) finish(state, call, IMCTL_INTERNAL, "once more", nullptr);
  if (kFault == FAULT_USE_AFTER_FINISH) {
    (void)state->calls->cancelled(call);
    call_on_behalf_of(state, call);
  }
}

// ---- Chat

struct Talk {
  State* state;
  imctl_call* call;
};

void on_message(void* user, imctl_buffer* message) {
  auto* talk = static_cast<Talk*>(user);
  throw_something(kFault == FAULT_THROW);
  if (message == nullptr) {
    finish(talk->state, talk->call, IMCTL_OK, "", nullptr);
    return;
  }
  if (!v1_Text().ParseFromArray(message->data, static_cast<int>(message->size))) {
    talk->state->host->buffer_release(message);
    finish(talk->state, talk->call, IMCTL_INVALID_ARGUMENT, "a message is not valid", nullptr);
    return;
  }
  if (kFault == FAULT_GREEDY) {
    talk->state->host->buffer_retain(message);
    talk->state->calls->write(talk->call, message);
  }
  talk->state->calls->write(talk->call, message);
}

void on_written(void* user, int32_t accepted) {
  auto* talk = static_cast<Talk*>(user);
  throw_something(kFault == FAULT_THROW);
  if (accepted != 0) {
    talk->state->calls->read(talk->call);
  } else {
    finish(talk->state, talk->call, IMCTL_CANCELLED, "the stream is gone", nullptr);
  }
}

void on_released(void* user) {
  delete static_cast<Talk*>(user);
  throw_something(kFault == FAULT_THROW);
}

void chat(void* user, imctl_call* call, const imctl_context* /*context*/, imctl_buffer* /*none*/) {
  static constexpr imctl_call_events kEvents = {
      sizeof(imctl_call_events), 0, on_message, on_written, nullptr, on_released, nullptr};
  auto* state = static_cast<State*>(user);
  state->calls->bind(call, &kEvents, new Talk{state, call});
  state->calls->read(call);
}

// ---- its life

State* self(void* instance) { return static_cast<State*>(instance); }

int32_t create(imctl_host* host, void** instance, imctl_error* /*error*/) {
  throw_something(kFault == FAULT_THROW_ALWAYS);
  auto state = std::make_unique<State>();
  state->host = host;
  state->calls =
      static_cast<const imctl_call_table*>(host->get_table(host, to_str(IMCTL_CALL_TABLE)));
  state->methods = {
      {sizeof(imctl_method), 0, to_str("/imctl.test.faulty.v1.Faulty/Echo"), echo, state.get()},
      {sizeof(imctl_method), 0, to_str("/imctl.test.faulty.v1.Faulty/Chat"),
       kFault == FAULT_NULL_HANDLER ? nullptr : chat, state.get()}};
  if (kFault == FAULT_SHORT_METHOD) state->methods[1].struct_size = 8;
  *instance = state.release();
  return IMCTL_OK;
}

const imctl_method* methods(void* instance, size_t* count) {
  *count = self(instance)->methods.size();
  return self(instance)->methods.data();
}

int32_t prepare(void* instance, const imctl_settings* settings, imctl_error* error) {
  State* state = self(instance);
  // "hello" and nothing else: two bytes before it.
  if (kFault == FAULT_STRICT && settings->config.size != 7) {
    std::strcpy(error->message, "settings that it does not know");
    return IMCTL_INVALID_ARGUMENT;
  }
  // What only one may have is for activate to take.
  if (kFault == FAULT_SWAP) {
    state->lock = std::string(to_view(settings->data_dir)) + "/lock";
    const int fd = open(state->lock.c_str(), O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (fd < 0) {
      state->lock.clear();
      std::strcpy(error->message, "there is one already");
      return IMCTL_FAILED_PRECONDITION;
    }
    close(fd);
  }
  return IMCTL_OK;
}

int32_t quiesce(void* instance, imctl_error* /*error*/) {
  if (kFault == FAULT_SLOW_STOP) std::this_thread::sleep_for(milliseconds(2100));
  (void)instance;
  return IMCTL_OK;
}

int32_t deactivate(void* instance, imctl_error* /*error*/) {
  for (std::thread& thread : self(instance)->threads) thread.join();
  self(instance)->threads.clear();
  return IMCTL_OK;
}

void destroy(void* instance) {
  if (!self(instance)->lock.empty()) unlink(self(instance)->lock.c_str());
  delete self(instance);
}

}  // namespace

#if FAULT == FAULT_EXPORT
extern "C" IMCTL_EXPORT void imctl_module_more(void) {}
#endif

extern "C" IMCTL_EXPORT const imctl_module* imctl_module_entry(void) {
  static constexpr imctl_module kModule = {kFault == FAULT_SHORT_STRUCT ? 16 : sizeof(imctl_module),
                                           kFault == FAULT_ABI ? IMCTL_ABI + 1 : IMCTL_ABI,
                                           create,
                                           kFault == FAULT_NULL_SLOT ? nullptr : methods,
                                           prepare,
                                           nullptr,
                                           quiesce,
                                           deactivate,
                                           destroy,
                                           nullptr};
  return &kModule;
}
