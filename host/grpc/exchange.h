// Between gRPC's types and the host's.
#ifndef IMCTL_HOST_GRPC_EXCHANGE_H
#define IMCTL_HOST_GRPC_EXCHANGE_H

#include <grpcpp/grpcpp.h>

#include "imctl/status.h"
#include "road/buffer.h"
#include "road/call.h"

namespace imctl::host {

struct Entrance;
class MethodSlot;

// Large ones pass without a copy.
BufferRef from_byte_buffer(grpc::ByteBuffer& bytes);
grpc::ByteBuffer to_byte_buffer(BufferRef buffer);

grpc::Status to_grpc(const Status& status);

// Who calls, until when, with which metadata. An error is how the call ends, already told to the
// context's trailers.
Result<CallParams> call_params(const Entrance& entrance, MethodSlot* target,
                               grpc::CallbackServerContext& context);

// Before the end of a call.
void add_trailers(grpc::ServerContextBase& context, const Call& call, const Status& status);
// Before the end of what did not become a call: tells hosts that forward calls that this one
// answered.
void add_trailers(grpc::CallbackServerContext& context);

}  // namespace imctl::host

#endif  // IMCTL_HOST_GRPC_EXCHANGE_H
