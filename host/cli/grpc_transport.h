// Calls of a running host over gRPC.
#ifndef IMCTL_HOST_CLI_GRPC_TRANSPORT_H
#define IMCTL_HOST_CLI_GRPC_TRANSPORT_H

#include <memory>
#include <string>

#include "cli/transport.h"

namespace imctl::host::cli {

// Does not connect before the first call. `address`: "unix:PATH" or "HOST:PORT".
std::unique_ptr<Transport> make_grpc_transport(const std::string& address);

}  // namespace imctl::host::cli

#endif  // IMCTL_HOST_CLI_GRPC_TRANSPORT_H
