// Unary calls on gRPC's fast path: raw bytes in, raw bytes out.
#ifndef IMCTL_HOST_GRPC_UNARY_H
#define IMCTL_HOST_GRPC_UNARY_H

#include <grpcpp/grpcpp.h>

namespace imctl::host {

struct Entrance;
class MethodSlot;

// Starts the call; the reactor deletes itself.
grpc::ServerUnaryReactor* start_unary(const Entrance& entrance, MethodSlot* target,
                                      grpc::CallbackServerContext* context,
                                      const grpc::ByteBuffer* request, grpc::ByteBuffer* reply);

}  // namespace imctl::host

#endif  // IMCTL_HOST_GRPC_UNARY_H
