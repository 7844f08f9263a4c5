#include "grpc/exchange.h"

#include <grpc/support/time.h>
#include <grpcpp/support/slice.h>

#include <algorithm>
#include <cctype>
#include <memory>
#include <vector>

#include "core/host.h"
#include "grpc/credentials.h"
#include "grpc/hop.h"
#include "road/method_table.h"

namespace imctl::host {
namespace {

// Below this, copying is cheaper than counting references to somebody else's memory.
constexpr size_t kCopyLimit = 4096;
// gRPC peers take 8 KiB of metadata in all.
constexpr size_t kMessageLimit = 4000;
constexpr size_t kCallIdLimit = 64;
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

Result<CallParams> call_params(const Entrance& entrance, MethodSlot* target,
                               grpc::CallbackServerContext& context) {
  CallParams params;
  params.target = target;
  gpr_timespec left =
      gpr_time_sub(gpr_convert_clock_type(context.raw_deadline(), GPR_CLOCK_REALTIME),
                   gpr_now(GPR_CLOCK_REALTIME));
  // Farther off is none, and would not fit.
  if (left.tv_sec < kFarSeconds) {
    params.deadline = monotonic_now() + left.tv_sec * 1'000'000'000 + left.tv_nsec;
  }
  identify_connection(entrance, context, &params);
  ReadHop hop;
  Status status;
  for (const auto& [key_ref, value_ref] : context.client_metadata()) {
    std::string_view key = view(key_ref);
    std::string_view value = view(value_ref);
    if (key == "user-agent" || key.substr(0, 5) == "grpc-" || hop.take(key, value)) continue;
    if (key == "authorization") {
      Result<std::string> token = bearer_token(value);
      if (token.ok()) {
        params.token = std::move(*token);
      } else {
        status = token.status();
      }
      continue;
    }
    if (key == kCallIdMetadata && good_call_id(value)) params.call_id = value;
    if (key == kDryRunMetadata && value == "1") params.flags |= IMCTL_DRY_RUN;
    params.metadata.emplace_back(key, value);
  }
  Status hop_status = hop.apply(entrance.host.config().nodes, &params);
  if (!hop_status.ok()) {
    entrance.host.audit_refusal(params, hop_status);
    add_trailers(context);
    context.AddTrailingMetadata(std::string(kNodeRefusedMetadata), "1");
    return hop_status;
  }
  if (!status.ok()) {
    entrance.host.audit_refusal(params, status);
    add_trailers(context);
    return status;
  }
  // Whoever brings a credential is who that says, however they came.
  if (!params.token.empty()) {
    params.certified_user.clear();
    params.principal_kind = IMCTL_PRINCIPAL_NONE;
    params.principal.clear();
  }
  // Who is let in without a credential is known by that at least.
  std::shared_ptr<const Route> route = target->route();
  if (route != nullptr && route->served->info.access == Access::kPublic) {
    params.metadata.emplace_back(kPeerMetadata, params.peer);
  }
  return params;
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
