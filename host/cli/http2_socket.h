// A connected socket of the command line.
#ifndef IMCTL_HOST_CLI_HTTP2_SOCKET_H
#define IMCTL_HOST_CLI_HTTP2_SOCKET_H

#include <chrono>
#include <string>

#include "imctl/status.h"

namespace imctl::host::cli {

// To "unix:PATH" or "HOST:PORT": a descriptor that does not block, to be closed by the caller. The
// error is the reason alone, such as "Connection refused". Gives up after `patience`, or when
// `wake` (a descriptor) can be read; then it is DEADLINE_EXCEEDED or CANCELLED.
Result<int> connect_to(const std::string& address, std::chrono::nanoseconds patience, int wake);

}  // namespace imctl::host::cli

#endif  // IMCTL_HOST_CLI_HTTP2_SOCKET_H
