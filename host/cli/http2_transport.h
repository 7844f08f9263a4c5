// Calls of a running host over HTTP/2 as gRPC has it, without gRPC's library: a client that makes
// one call and ends would spend most of its time on loading and starting that. No TLS.
#ifndef IMCTL_HOST_CLI_HTTP2_TRANSPORT_H
#define IMCTL_HOST_CLI_HTTP2_TRANSPORT_H

#include <memory>

#include "cli/connection.h"
#include "cli/transport.h"

namespace imctl::host::cli {

// Connects with the first call, and again when the connection is gone. An error names a file that
// cannot be read.
Result<std::unique_ptr<Transport>> make_http2_transport(const Connection& connection);

}  // namespace imctl::host::cli

#endif  // IMCTL_HOST_CLI_HTTP2_TRANSPORT_H
