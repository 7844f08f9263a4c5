// <imctl/testing_c.h> over a ModuleHost.
#include "imctl/testing_c.h"

#include <algorithm>
#include <chrono>
#include <cstring>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "road/timer.h"
#include "testing/module_host.h"

struct imctl_test_host {
  std::unique_ptr<imctl::host::ModuleHost> host;
};

struct imctl_test_call {
  std::unique_ptr<imctl::host::WaitingCall> call;
  std::string message;  // the last that was read
  bool ended = false;
  imctl::Status status;
  std::string reply;

  void end() {
    if (std::exchange(ended, true)) return;
    status = call->end(&reply);
  }
};

namespace {

using imctl::Result;
using imctl::Status;
using imctl::to_str;
using imctl::host::CallParams;
using imctl::host::ModuleHost;

constexpr int64_t kTimeoutMs = 30'000;
constexpr int64_t kNanosecondsInMs = 1'000'000;

void put(const std::string& text, char* error, size_t size) {
  if (error == nullptr || size == 0) return;
  error[text.copy(error, size - 1)] = '\0';
}

std::vector<std::string> strings(const char* const* words, size_t count) {
  return {words, words + count};
}

std::string bytes(const void* data, size_t size) {
  return size == 0 ? std::string() : std::string(static_cast<const char*>(data), size);
}

CallParams params_of(const imctl_test_call_options* options) {
  CallParams params;
  params.principal_kind = IMCTL_PRINCIPAL_ADMIN;
  params.principal = "test";
  params.peer = "test";
  int64_t timeout = kTimeoutMs;
  if (options != nullptr) {
    params.principal_kind = static_cast<imctl_principal_kind>(options->principal_kind);
    params.principal = options->principal == nullptr ? "" : options->principal;
    if (options->timeout_ms != 0) timeout = options->timeout_ms;
    if (options->dry_run != 0) params.flags |= IMCTL_DRY_RUN;
    for (size_t i = 0; i < options->metadata_count; ++i) {
      params.metadata.emplace_back(imctl::to_view(options->metadata[i].key),
                                   imctl::to_view(options->metadata[i].value));
    }
  }
  params.deadline = imctl::host::monotonic_now() + timeout * kNanosecondsInMs;
  params.watch_deadline = true;
  return params;
}

}  // namespace

// The one part of the library that others see.
#pragma GCC visibility push(default)

imctl_test_host* imctl_test_open(const imctl_test_options* options, char* error,
                                 size_t error_size) {
  ModuleHost::Options opening;
  opening.modules = strings(options->modules, options->module_count);
  opening.settings = strings(options->settings, options->setting_count);
  opening.store = static_cast<ModuleHost::Store>(options->store);
  opening.folder = options->folder == nullptr ? "" : options->folder;
  opening.isolate = options->isolate != 0;
  Result<std::unique_ptr<ModuleHost>> opened = ModuleHost::open(opening);
  if (!opened.ok()) {
    put(opened.status().message(), error, error_size);
    return nullptr;
  }
  return new imctl_test_host{std::move(*opened)};
}

int imctl_test_close(imctl_test_host* host, char* error, size_t error_size) {
  Status status = host->host->close();
  put(status.message(), error, error_size);
  delete host;
  return status.ok() ? 0 : -1;
}

int imctl_test_reload(imctl_test_host* host, const char* module, char* error, size_t error_size) {
  Status status = host->host->reload(module);
  put(status.message(), error, error_size);
  return status.ok() ? 0 : -1;
}

imctl_test_call* imctl_test_start(imctl_test_host* host, const char* method, const void* request,
                                  size_t request_size, const imctl_test_call_options* options) {
  std::optional<std::string> first;
  if (request != nullptr) first = bytes(request, request_size);
  return new imctl_test_call{
      host->host->start(method, first, params_of(options)), {}, false, {}, {}};
}

int imctl_test_write(imctl_test_call* call, const void* message, size_t size) {
  return call->call->write(bytes(message, size)) ? 1 : 0;
}

void imctl_test_writes_done(imctl_test_call* call) { call->call->writes_done(); }

int imctl_test_read(imctl_test_call* call, const void** message, size_t* size) {
  std::optional<std::string> read = call->call->read();
  if (!read) return 0;
  call->message = std::move(*read);
  *message = call->message.data();
  *size = call->message.size();
  return 1;
}

int32_t imctl_test_finish(imctl_test_call* call, imctl_status* status, imctl_str* reply) {
  call->end();
  if (status != nullptr) *status = call->status.raw();
  if (reply != nullptr) *reply = to_str(call->reply);
  return call->status.code();
}

imctl_str imctl_test_trailer(imctl_test_call* call, const char* key) {
  return to_str(call->call->trailer(key));
}

void imctl_test_cancel(imctl_test_call* call) { call->call->cancel(); }

void imctl_test_release(imctl_test_call* call) {
  call->call->cancel();
  call->end();
  delete call;
}

int imctl_test_logged(imctl_test_host* host, const char* text) {
  return host->host->logged(text).empty() ? 0 : 1;
}

#pragma GCC visibility pop
