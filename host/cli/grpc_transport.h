// Calls of a running host over gRPC.
#ifndef IMCTL_HOST_CLI_GRPC_TRANSPORT_H
#define IMCTL_HOST_CLI_GRPC_TRANSPORT_H

#include <memory>

#include "cli/connection.h"
#include "cli/transport.h"

namespace imctl::host::cli {

// Does not connect before the first call. An error names a file that cannot be read.
Result<std::unique_ptr<Transport>> make_grpc_transport(const Connection& connection);

}  // namespace imctl::host::cli

#endif  // IMCTL_HOST_CLI_GRPC_TRANSPORT_H
