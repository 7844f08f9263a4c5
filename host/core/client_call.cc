#include "core/client_call.h"

#include <algorithm>

#include "core/host.h"
#include "core/instance.h"
#include "core/method_table.h"

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

  CallParams params;
  params.target = const_cast<MethodSlot*>(static_cast<const MethodSlot*>(target));
  params.caller_module = from->name();
  params.flags = options.flags;
  constexpr int64_t kFar = int64_t{100} * 365 * 24 * 3600 * 1'000'000'000;  // as good as none
  if (options.timeout > 0 && options.timeout < kFar) {
    params.deadline = monotonic_now() + options.timeout;
    params.watch_deadline = true;
  }
  if (options.parent != nullptr) {
    Call* parent = Call::from(options.parent);
    const CallParams& inherited = parent->params();
    params.parent = parent;
    params.lineage = parent->lineage();
    params.principal_kind = inherited.principal_kind;
    params.principal = inherited.principal;
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
  params.request = std::move(request);

  made->call_ = CallRef(new Call(std::move(params), made));
  from->host()->dispatcher().start(made->call());
  return made;
}

void ClientCall::on_message(BufferRef message, bool /*more*/) {
  if (events_.on_message != nullptr) events_.on_message(user_, message.give());
}

void ClientCall::on_written(bool accepted) {
  if (events_.on_written != nullptr) events_.on_written(user_, accepted ? 1 : 0);
}

void ClientCall::on_finish(const Status& status, BufferRef reply) {
  imctl_status raw = status.raw();
  events_.on_finish(user_, status.ok() ? nullptr : &raw, reply.give());
  from_->gate().leave();
  release();
}

}  // namespace imctl::host
