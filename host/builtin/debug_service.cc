#include "builtin/debug_service.h"

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "builtin/debug_bundle.h"
#include "core/host.h"
#include "core/stacks.h"

namespace imctl::host {
namespace {

constexpr size_t kPiece = size_t{64} << 10;

void add(v1::DebugStateResponse* reply, const std::string& module, const std::string& name,
         const std::string& value) {
  v1::StateItem* item = reply->add_items();
  item->set_module(module);
  item->set_name(name);
  item->set_value(value);
}

// What the host knows of a module, whatever that offers.
void add_known(Instance& instance, v1::DebugStateResponse* reply) {
  const std::string& name = instance.name();
  add(reply, name, "state", to_string(instance.state()));
  if (!instance.is_serving()) add(reply, name, "cannot_serve", instance.health_reason());
  add(reply, name, "calls_in_flight", std::to_string(instance.calls_in_flight()));
  add(reply, name, "stream_bytes", std::to_string(instance.stream_bytes()));
  const Pool::Load load = instance.pool().load();
  add(reply, name, "pool_threads", std::to_string(load.threads));
  add(reply, name, "pool_idle_threads", std::to_string(load.idle));
  add(reply, name, "pool_queue", std::to_string(load.queue));
  add(reply, name, "pool_queue_bytes", std::to_string(load.bytes));
}

}  // namespace

Result<v1::DebugStateResponse> state_of(Host& host, const std::string& module) {
  std::vector<std::shared_ptr<Instance>> wanted = host.modules().view()->modules;
  if (!module.empty()) {
    std::shared_ptr<Instance> instance = host.find_module(module);
    if (instance == nullptr) {
      return Status(IMCTL_NOT_FOUND,
                    "no module " + module + " runs: `imctl module list` shows which do");
    }
    wanted = {instance};
  }
  v1::DebugStateResponse reply;
  for (const std::shared_ptr<Instance>& instance : wanted) {
    add_known(*instance, &reply);
    Result<ModuleCode::State> state = host.modules().report(*instance);
    if (!state.ok()) {
      add(&reply, instance->name(), "report", state.status().message());
      continue;
    }
    for (const auto& [name, value] : *state) add(&reply, instance->name(), name, value);
  }
  return reply;
}

v1::DebugStacksResponse stacks_of() {
  v1::DebugStacksResponse reply;
  for (const ThreadStack& stack : all_stacks()) {
    auto add = [&](uint32_t number, const std::string& function, const std::string& location) {
      v1::StackFrame* frame = reply.add_frames();
      frame->set_thread(stack.thread);
      frame->set_name(stack.name);
      frame->set_frame(number);
      frame->set_function(function);
      frame->set_location(location);
    };
    if (stack.frames.empty()) add(0, "(it does not answer)", "");
    uint32_t number = 0;
    for (const Frame& frame : stack.frames) add(number++, frame.function, frame.location);
  }
  return reply;
}

DebugService::DebugService(Module& module, Host& host) : host_(host) {
  module.serve("/imctl.host.v1.Debug/State", this, &DebugService::state);
  module.serve("/imctl.host.v1.Debug/Stacks", this, &DebugService::stacks);
  module.serve("/imctl.host.v1.Debug/Bundle", this, &DebugService::bundle);
}

Task<Status> DebugService::bundle(const v1::DebugBundleRequest& /*request*/,
                                  Writer<v1::DebugBundleResponse>& writer) {
  Result<std::string> bundle = debug_bundle(host_);
  if (!bundle.ok()) co_return bundle.status();
  for (size_t at = 0; at < bundle->size(); at += kPiece) {
    v1::DebugBundleResponse piece;
    piece.set_content(bundle->substr(at, kPiece));
    if (!co_await writer.write(piece)) break;
  }
  co_return Status();
}

}  // namespace imctl::host
