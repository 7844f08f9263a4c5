// Who comes to the gRPC front end, as far as the connection and the metadata tell: the host's own
// tier is decided here, a user's token is left for the dispatcher to look at.
#ifndef IMCTL_HOST_GRPC_CREDENTIALS_H
#define IMCTL_HOST_GRPC_CREDENTIALS_H

#include <grpcpp/grpcpp.h>

#include <memory>
#include <string>
#include <string_view>

#include "core/host_config.h"
#include "grpc/unix_listener.h"
#include "imctl/status.h"
#include "road/call.h"

namespace imctl::host {

class Host;

// Where calls come in.
struct Entrance {
  Host& host;
  std::unique_ptr<UnixListener> socket;  // may be nullptr
  bool tls = false;                      // what comes over TCP
};

// How TCP is served: with TLS, whose files are read again when they change, if the settings name
// them. Errors say which file, and what is wrong with it.
Result<std::shared_ptr<grpc::ServerCredentials>> listener_credentials(const HostConfig& config);

// May the host listen there, with these settings?
Status check_listeners(const HostConfig& config);

// "authorization: Bearer TOKEN". UNAUTHENTICATED: it is of another kind.
Result<std::string> bearer_token(std::string_view authorization);

// Fills in who calls by what the connection proves: the unix socket's peer, a certificate, or
// auth = none.
void identify_connection(const Entrance& entrance, const grpc::ServerContextBase& context,
                         CallParams* params);

}  // namespace imctl::host

#endif  // IMCTL_HOST_GRPC_CREDENTIALS_H
