// Between gRPC's types and the host's.
#ifndef IMCTL_HOST_GRPC_EXCHANGE_H
#define IMCTL_HOST_GRPC_EXCHANGE_H

#include <grpcpp/grpcpp.h>

#include "road/buffer.h"
#include "road/call.h"
#include "imctl/status.h"

namespace imctl::host {

class Host;
class MethodSlot;

// Large ones pass without a copy.
BufferRef from_byte_buffer(grpc::ByteBuffer& bytes);
grpc::ByteBuffer to_byte_buffer(BufferRef buffer);

grpc::Status to_grpc(const Status& status);

// Who calls, until when, with which metadata.
CallParams call_params(const Host& host, MethodSlot* target,
                       const grpc::CallbackServerContext& context);

void add_trailers(grpc::ServerContextBase& context, const Call& call);

}  // namespace imctl::host

#endif  // IMCTL_HOST_GRPC_EXCHANGE_H
