// Which host a command line is for, and what proves to it who we are.
#ifndef IMCTL_HOST_CLI_CONNECTION_H
#define IMCTL_HOST_CLI_CONNECTION_H

#include <string>

#include "cli/contexts.h"
#include "cli/flags.h"
#include "imctl/status.h"

namespace imctl::host::cli {

struct Connection {
  std::string address;  // as gRPC has it
  bool tls = false;
  Context context;         // what else is known: files of TLS, the token
  std::string name;        // of the context; empty: none
  std::string kept_token;  // the file where `imctl login` keeps a token for it, if it may
};

// The first there is of: --server (with --context: that context, at another address), --context,
// $IMCTL_SERVER, $IMCTL_CONTEXT, the host of --config, the current context, the host of the config
// file in force. A context's token goes nowhere but where the context is asked for. If the context
// names no token's file, the token is the one that `imctl login` kept for it, or for the address
// where there is no context.
Result<Connection> find_connection(const Flags& flags);

// Would a connection be made with it? `from` begins the error.
Status check_connection(const Context& context, const std::string& from);

// Would a token that is sent there be seen on its way?
Status check_token_way(const Connection& connection);

// The name of the context that find_connection() would take; empty: none.
std::string context_in_force(const Flags& flags);

}  // namespace imctl::host::cli

#endif  // IMCTL_HOST_CLI_CONNECTION_H
