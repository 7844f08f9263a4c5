// What the process may have and do. Before its threads start and before any of the module's code
// runs.
#ifndef IMCTL_HOST_RUNNER_CONFINE_H
#define IMCTL_HOST_RUNNER_CONFINE_H

#include "imctl/status.h"
#include "link/process_limits.h"

namespace imctl::host {

Status confine(const ProcessLimits& limits);

}  // namespace imctl::host

#endif  // IMCTL_HOST_RUNNER_CONFINE_H
