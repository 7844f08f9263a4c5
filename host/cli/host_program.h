// There are two programs, of which people see one. `imctl` is the client: it starts in a few
// milliseconds, since neither gRPC nor the host is in it. `lib/imctl/imctl-host` has all of it;
// `imctl` becomes it, with the same words, where the host itself is asked for.
#ifndef IMCTL_HOST_CLI_HOST_PROGRAM_H
#define IMCTL_HOST_CLI_HOST_PROGRAM_H

#include "imctl/status.h"

namespace imctl::host::cli {

// Comes back only if it fails; the error names the file.
Status become_host_program();

}  // namespace imctl::host::cli

#endif  // IMCTL_HOST_CLI_HOST_PROGRAM_H
