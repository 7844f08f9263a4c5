// Where the host is when the command line does not say.
#ifndef IMCTL_HOST_CLI_ADDRESS_H
#define IMCTL_HOST_CLI_ADDRESS_H

#include <string>

#include "imctl/status.h"

namespace imctl::host::cli {

// The config file in force: `named` (--config), else $IMCTL_CONFIG, else the first that exists of
// $XDG_CONFIG_HOME/imctl/imctl.conf and /etc/imctl/imctl.conf, else empty.
std::string config_file(const std::string& named);
// Where one is made if there is none.
std::string new_config_file();

// What gRPC calls an address written by people: "unix:PATH", "/PATH", "HOST:PORT", ":PORT", "PORT",
// "grpc://HOST:PORT". "grpcs://HOST:PORT" stays as it is.
Result<std::string> normal_address(const std::string& text);

// The host's unix socket as the config file and the environment have it, if it exists; else its TCP
// address.
Result<std::string> default_address(const std::string& named_config);

}  // namespace imctl::host::cli

#endif  // IMCTL_HOST_CLI_ADDRESS_H
