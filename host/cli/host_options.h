// What the command line says to a host that is opened in this process.
#ifndef IMCTL_HOST_CLI_HOST_OPTIONS_H
#define IMCTL_HOST_CLI_HOST_OPTIONS_H

#include "cli/flags.h"
#include "core/host.h"

namespace imctl::host::cli {

// The config file in force, --set, and the environment as it is.
HostOptions host_options(const Flags& flags);

}  // namespace imctl::host::cli

#endif  // IMCTL_HOST_CLI_HOST_OPTIONS_H
