#include "grpc/exchange.h"

#include <grpc/support/time.h>
#include <grpcpp/support/slice.h>

#include <algorithm>
#include <cctype>
#include <memory>
#include <vector>

#include "core/host.h"
#include "grpc/hop.h"

namespace imctl::host {
namespace {

// Below this, copying is cheaper than counting references to somebody else's memory.
constexpr size_t kCopyLimit = 4096;
// gRPC peers take 8 KiB of metadata in all.
constexpr size_t kMessageLimit = 4000;
constexpr size_t kCallIdLimit = 64;
constexpr std::string_view kUnixPeer = "unix:";
constexpr int64_t kFarSeconds = int64_t{100} * 365 * 24 * 3600;

std::string_view view(const grpc::string_ref& text) { return {text.data(), text.size()}; }

bool good_call_id(std::string_view id) {
  return !id.empty() && id.size() <= kCallIdLimit &&
         std::all_of(id.begin(), id.end(), [](unsigned char c) {
           return std::isalnum(c) != 0 || c == '.' || c == '_' || c == '-';
         });
}

// A client did, not a host that forwards: that one knows it.
bool gave_call_id(const Call& call) {
  const CallParams& params = call.params();
  return params.depth == 0 &&
         std::any_of(params.metadata.begin(), params.metadata.end(),
                     [](const auto& one) { return one.first == kCallIdMetadata; });
}

}  // namespace

BufferRef from_byte_buffer(grpc::ByteBuffer& bytes) {
  grpc::Slice slice;
  if (bytes.TrySingleSlice(&slice).ok()) {
    if (slice.size() <= kCopyLimit) {
      return BufferRef::copy_of({reinterpret_cast<const char*>(slice.begin()), slice.size()});
    }
  } else if (!bytes.DumpToSingleSlice(&slice).ok()) {
    return {};
  }
  auto* held = new grpc::Slice(std::move(slice));
  return BufferRef(buffer_wrap(
      held->begin(), held->size(), [](void* user) { delete static_cast<grpc::Slice*>(user); },
      held));
}

grpc::ByteBuffer to_byte_buffer(BufferRef buffer) {
  if (!buffer) return {};
  std::string_view bytes = buffer.view();
  if (bytes.size() <= kCopyLimit) {
    grpc::Slice slice(bytes.data(), bytes.size());
    return {&slice, 1};
  }
  imctl_buffer* held = buffer.give();
  grpc::Slice slice(
      held->data, held->size, [](void* user) { buffer_release(static_cast<imctl_buffer*>(user)); },
      held);
  return {&slice, 1};
}

grpc::Status to_grpc(const Status& status) {
  if (status.ok()) return grpc::Status::OK;
  return {static_cast<grpc::StatusCode>(status.code()), status.message().substr(0, kMessageLimit),
          status.details().size() <= kMessageLimit ? status.details() : std::string()};
}

Result<CallParams> call_params(Host& host, MethodSlot* target,
                               grpc::CallbackServerContext& context) {
  CallParams params;
  params.target = target;
  params.peer = context.peer();
  if (params.peer.starts_with(kUnixPeer)) params.peer = kUnixPeer;  // which socket says nothing
  // The socket is the host's own user's. A TCP listener without authentication exists only with
  // auth = none; else whoever comes over TCP has to prove who they are.
  const HostConfig& config = host.config();
  if (config.auth_none || config.listen.empty() || params.peer == kUnixPeer) {
    params.principal_kind = IMCTL_PRINCIPAL_ADMIN;
    params.principal = config.auth_none ? "auth=none" : "unix-socket";
  }
  gpr_timespec left =
      gpr_time_sub(gpr_convert_clock_type(context.raw_deadline(), GPR_CLOCK_REALTIME),
                   gpr_now(GPR_CLOCK_REALTIME));
  // Farther off is none, and would not fit.
  if (left.tv_sec < kFarSeconds) {
    params.deadline = monotonic_now() + left.tv_sec * 1'000'000'000 + left.tv_nsec;
  }
  ReadHop hop;
  for (const auto& [key_ref, value_ref] : context.client_metadata()) {
    std::string_view key = view(key_ref);
    std::string_view value = view(value_ref);
    if (key == "user-agent" || key.substr(0, 5) == "grpc-" || hop.take(key, value)) continue;
    if (key == kCallIdMetadata && good_call_id(value)) params.call_id = value;
    if (key == kDryRunMetadata && value == "1") params.flags |= IMCTL_DRY_RUN;
    params.metadata.emplace_back(key, value);
  }
  Status status = hop.apply(config.nodes, &params);
  if (status.ok()) return params;
  host.audit_refusal(params, status);
  add_trailers(context);
  context.AddTrailingMetadata(std::string(kNodeRefusedMetadata), "1");
  return status;
}

void add_trailers(grpc::ServerContextBase& context, const Call& call, const Status& status) {
  for (const auto& [key, value] : call.trailers()) context.AddTrailingMetadata(key, value);
  if (!status.ok() || gave_call_id(call)) {
    context.AddTrailingMetadata(std::string(kCallIdMetadata), call.params().call_id);
  }
}

void add_trailers(grpc::CallbackServerContext& context) {
  context.AddTrailingMetadata(std::string(kCallIdMetadata), "-");
}

}  // namespace imctl::host
