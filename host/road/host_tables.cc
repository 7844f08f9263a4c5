#include "road/host_tables.h"

#include <string>

#include "road/buffer.h"
#include "road/call.h"
#include "road/client_call.h"
#include "road/contain.h"
#include "road/instance.h"
#include "road/road.h"

namespace imctl::host {
namespace {

HostHandle& handle(imctl_host* raw) { return *static_cast<HostHandle*>(raw); }

// ---- core

imctl_buffer* make_buffer(imctl_host* /*host*/, size_t size) { return buffer_new(size); }

// Wrapped bytes are inside the module's gate: their release function is the module's code.
struct WrappedBytes {
  Instance* instance;
  void (*release)(void*);
  void* user;
};

imctl_buffer* wrap_buffer(imctl_host* host, const void* data, size_t size, void (*release)(void*),
                          void* user) {
  Instance* instance = handle(host).instance;
  instance->gate().enter_again();
  return buffer_wrap(
      data, size,
      [](void* held) {
        auto* wrapped = static_cast<WrappedBytes*>(held);
        contain(
            "the release function of a buffer",
            [&] {
              if (wrapped->release != nullptr) wrapped->release(wrapped->user);
            },
            [&](const std::string& thrown) {
              wrapped->instance->broke(Rule::kExceptions, thrown);
            });
        wrapped->instance->gate().leave();
        delete wrapped;
      },
      new WrappedBytes{instance, release, user});
}

void finish(imctl_call* call, const imctl_status* status, imctl_buffer* reply) {
  BufferRef taken(reply);
  if (take_handle(call)) Call::from(call)->finish(Status(status), std::move(taken));
}

void log(imctl_host* host, int32_t level, const imctl_call* call, imctl_str text) {
  const Instance& instance = *handle(host).instance;
  if (!instance.log_enabled(level)) return;
  handle(host).road->write_log(static_cast<imctl_log_level>(level), instance.name(),
                               call == nullptr ? nullptr : open_call(call, "logs a line"),
                               to_view(text));
}

int32_t log_enabled(imctl_host* host, int32_t level) {
  return handle(host).instance->log_enabled(level) ? 1 : 0;
}

// ---- imctl.call/1

constexpr imctl_call_table kCallTable = {
    sizeof(imctl_call_table),
    0,
    [](imctl_call* call, const imctl_call_events* events, void* user) {
      if (Call* open = open_call(call, "binds events")) open->bind(*events, user);
    },
    [](imctl_call* call) {
      if (Call* open = open_call(call, "reads")) open->read();
    },
    [](imctl_call* call, imctl_buffer* message) {
      BufferRef taken(message);
      if (Call* open = open_call(call, "writes")) open->write(std::move(taken));
    },
    [](imctl_call* call) -> int32_t {
      const Call* open = open_call(call, "asks for the cancel");
      return open == nullptr ? IMCTL_CANCELLED : open->cancelled();
    },
    [](imctl_call* call, imctl_str key) -> imctl_str {
      const Call* open = open_call(call, "reads metadata");
      return open == nullptr ? imctl_str{} : to_str(open->metadata(to_view(key)));
    },
    [](imctl_call* call, imctl_str key, imctl_str value) {
      if (Call* open = open_call(call, "adds a trailer")) {
        open->add_trailer(to_view(key), to_view(value));
      }
    }};

// ---- imctl.client/1

constexpr imctl_client_table kClientTable = {
    sizeof(imctl_client_table),
    0,
    [](imctl_host* host, imctl_str name) -> const imctl_target* {
      return handle(host).road->methods().slot(to_view(name));
    },
    [](imctl_host* host, const imctl_target* target, const imctl_client_options* options,
       imctl_buffer* request, const imctl_client_events* events, void* user) -> imctl_client_call* {
      return ClientCall::start(handle(host).instance, target, *options, BufferRef(request), *events,
                               user);
    },
    [](imctl_client_call* call) { ClientCall::from(call)->call().caller_read(); },
    [](imctl_client_call* call, imctl_buffer* message) {
      ClientCall::from(call)->call().caller_write(BufferRef(message));
    },
    [](imctl_client_call* call) { ClientCall::from(call)->call().caller_writes_done(); },
    [](imctl_client_call* call) {
      ClientCall::from(call)->call().cancel(IMCTL_CANCELLED, "cancelled by the module that called");
    },
    [](imctl_client_call* call) { ClientCall::from(call)->release(); },
    [](imctl_client_call* call, imctl_str key) {
      return to_str(ClientCall::from(call)->call().trailer(to_view(key)));
    }};

// ---- imctl.pool/1

constexpr imctl_pool_table kPoolTable = {
    sizeof(imctl_pool_table), 0,
    [](imctl_host* host, void (*work)(void*), void* user) -> int32_t {
      return handle(host).instance->pool().post(work, user) ? IMCTL_OK : IMCTL_RESOURCE_EXHAUSTED;
    },
    [](imctl_host* host) -> int32_t { return handle(host).instance->pool().on_thread() ? 1 : 0; }};

// ---- imctl.metrics/1

constexpr imctl_metrics_table kMetricsTable = {
    sizeof(imctl_metrics_table),
    0,
    [](imctl_host* host, int32_t kind, imctl_str name, imctl_str labels,
       imctl_str help) -> imctl_metric* {
      return handle(host).road->metrics().get(static_cast<imctl_metric_kind>(kind), to_view(name),
                                              to_view(labels), to_view(help));
    },
    [](imctl_metric* metric, double value) { static_cast<Metric*>(metric)->add(value); },
    [](imctl_metric* metric, double value) { static_cast<Metric*>(metric)->set(value); },
    [](imctl_metric* metric, double value) { static_cast<Metric*>(metric)->observe(value); }};

// ---- imctl.json/1

imctl_buffer* give(Result<BufferRef> result, imctl_error* error) {
  if (result.ok()) return result->give();
  (void)result.status().fill(error);
  return nullptr;
}

imctl_buffer* to_json(imctl_host* host, imctl_str type, imctl_str message, imctl_error* error) {
  const HostHandle& self = handle(host);
  return give(self.road->to_json(*self.instance, to_view(type), to_view(message)), error);
}

imctl_buffer* from_json(imctl_host* host, imctl_str type, imctl_str json, imctl_error* error) {
  const HostHandle& self = handle(host);
  return give(self.road->from_json(*self.instance, to_view(type), to_view(json)), error);
}

constexpr imctl_json_table kJsonTable = {sizeof(imctl_json_table), 0, to_json, from_json};

// ---- imctl.health/1

constexpr imctl_health_table kHealthTable = {
    sizeof(imctl_health_table), 0, [](imctl_host* host, int32_t serving, imctl_str reason) {
      handle(host).instance->set_health(serving != 0, to_view(reason));
    }};

const void* get_table(imctl_host* host, imctl_str name) {
  std::string_view wanted = to_view(name);
  if (wanted == IMCTL_CALL_TABLE) return &kCallTable;
  if (wanted == IMCTL_CLIENT_TABLE) return &kClientTable;
  if (wanted == IMCTL_POOL_TABLE) return &kPoolTable;
  if (wanted == IMCTL_METRICS_TABLE) return &kMetricsTable;
  if (wanted == IMCTL_JSON_TABLE) return &kJsonTable;
  if (wanted == IMCTL_HEALTH_TABLE) return &kHealthTable;
  return handle(host).road->extra_table(*handle(host).instance, wanted);
}

}  // namespace

imctl_host host_functions() {
  return {sizeof(imctl_host), IMCTL_ABI,      get_table, make_buffer, wrap_buffer,
          buffer_retain,      buffer_release, finish,    log,         log_enabled};
}

}  // namespace imctl::host
