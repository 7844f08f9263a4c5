// Every call that is not a plain unary one of a method known at start: streams of all three kinds,
// and whatever arrives by a name that no registered method has. For gRPC's server they are all
// bidirectional.
#ifndef IMCTL_HOST_GRPC_STREAMING_H
#define IMCTL_HOST_GRPC_STREAMING_H

#include <grpcpp/grpcpp.h>

#include <string>

namespace imctl::host {

struct Entrance;
class MethodSlot;

using ByteReactor = grpc::ServerBidiReactor<grpc::ByteBuffer, grpc::ByteBuffer>;

// Starts the call; the reactor deletes itself.
ByteReactor* start_stream(const Entrance& entrance, MethodSlot* target,
                          grpc::CallbackServerContext* context);

// By a name from the wire, served or not.
ByteReactor* start_by_name(const Entrance& entrance, const std::string& name,
                           grpc::CallbackServerContext* context);

}  // namespace imctl::host

#endif  // IMCTL_HOST_GRPC_STREAMING_H
