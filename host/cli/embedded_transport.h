// Calls of a host in this very process: no socket, no gRPC.
#ifndef IMCTL_HOST_CLI_EMBEDDED_TRANSPORT_H
#define IMCTL_HOST_CLI_EMBEDDED_TRANSPORT_H

#include <memory>

#include "cli/transport.h"
#include "core/host.h"
#include "imctl/status.h"

namespace imctl::host::cli {

// Opens a host; destroying the transport stops it. An error is the host's, such as that another one
// runs on the data folder.
Result<std::unique_ptr<Transport>> make_embedded_transport(const HostOptions& options);

}  // namespace imctl::host::cli

#endif  // IMCTL_HOST_CLI_EMBEDDED_TRANSPORT_H
