#include "road/client_call.h"

#include <algorithm>

#include "road/contain.h"
#include "road/instance.h"
#include "road/method_table.h"
#include "road/road.h"

namespace imctl::host {

ClientCall::ClientCall(Instance* from, const imctl_client_events& events, void* user)
    : from_(from), user_(user) {
  size_t known = std::min<size_t>(events.struct_size, sizeof(events_));
  std::copy_n(reinterpret_cast<const char*>(&events), known, reinterpret_cast<char*>(&events_));
}

ClientCall* ClientCall::start(Instance* from, const imctl_target* target,
                              const imctl_client_options& options, BufferRef request,
                              const imctl_client_events& events, void* user) {
  auto* made = new ClientCall(from, events, user);
  from->gate().enter_again();
  // Of a call that is over there is nothing to inherit, and nobody on whose behalf it could be
  // made.
  Call* parent = nullptr;
  bool orphan = false;
  if (options.parent != nullptr) {
    parent = open_call(options.parent, "makes a call on behalf");
    orphan = parent == nullptr;
  }
  CallParams params = params_from(from, target, parent, options.flags, options.timeout);
  if (IMCTL_HAS(&options, metadata_count)) {
    for (size_t i = 0; i < options.metadata_count; ++i) {
      params.metadata.emplace_back(to_view(options.metadata[i].key),
                                   to_view(options.metadata[i].value));
    }
  }
  params.request = std::move(request);
  made->call_ = CallRef(new Call(std::move(params), made));
  if (orphan) {
    made->call().refuse(*from->road(), Status(IMCTL_CANCELLED,
                                              "the call that this one was to be made for was "
                                              "finished before"));
    return made;
  }
  from->road()->dispatcher().start(made->call());
  return made;
}

CallParams params_from(const Instance* from, const imctl_target* target, Call* parent,
                       uint32_t flags, int64_t timeout) {
  CallParams params;
  params.target = const_cast<MethodSlot*>(static_cast<const MethodSlot*>(target));
  params.caller_module = from->name();
  params.caller = from;
  params.flags = flags;
  constexpr int64_t kFar = int64_t{100} * 365 * 24 * 3600 * 1'000'000'000;  // as good as none
  if (timeout > 0 && timeout < kFar) {
    params.deadline = monotonic_now() + timeout;
    params.watch_deadline = true;
  }
  if (parent != nullptr) {
    const CallParams& inherited = parent->params();
    params.parent = parent;
    params.lineage = parent->lineage();
    params.principal_kind = inherited.principal_kind;
    params.principal = inherited.principal;
    params.grant = inherited.grant;
    params.call_id = inherited.call_id;
    params.flags |= inherited.flags;
    params.depth = inherited.depth + 1;
    if (inherited.deadline != 0 && (params.deadline == 0 || inherited.deadline < params.deadline)) {
      // The parent's cancel is this call's: no timer of its own is needed.
      params.deadline = inherited.deadline;
      params.watch_deadline = false;
    }
  } else {
    params.principal_kind = IMCTL_PRINCIPAL_MODULE;
    params.principal = from->name();
  }
  return params;
}

template <class F>
void ClientCall::told(const char* what, F&& event) {
  contain(what, std::forward<F>(event),
          [this](const std::string& thrown) { from_->broke(Rule::kExceptions, thrown); });
}

void ClientCall::on_message(BufferRef message, bool /*more*/) {
  if (events_.on_message == nullptr) return;
  told("on_message", [&] { events_.on_message(user_, message.give()); });
}

void ClientCall::on_written(bool accepted) {
  if (events_.on_written == nullptr) return;
  told("on_written", [&] { events_.on_written(user_, accepted ? 1 : 0); });
}

void ClientCall::on_finish(const Status& status, BufferRef reply) {
  imctl_status raw = status.raw();
  told("on_finish", [&] { events_.on_finish(user_, status.ok() ? nullptr : &raw, reply.give()); });
  from_->gate().leave();
  release();
}

}  // namespace imctl::host
