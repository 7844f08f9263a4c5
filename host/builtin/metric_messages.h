// imctl.host.v1.Metrics.
#ifndef IMCTL_HOST_BUILTIN_METRIC_MESSAGES_H
#define IMCTL_HOST_BUILTIN_METRIC_MESSAGES_H

#include <string>

#include "imctl/host/v1/host.pb.h"

namespace imctl::host {

class Host;

// Those whose names begin with `prefix`, as they are now.
v1::ListMetricsResponse list_metrics(Host& host, const std::string& prefix);

}  // namespace imctl::host

#endif  // IMCTL_HOST_BUILTIN_METRIC_MESSAGES_H
