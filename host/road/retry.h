// Errors that say when to try again, as clients of gRPC expect it: google.rpc.RetryInfo.
#ifndef IMCTL_HOST_ROAD_RETRY_H
#define IMCTL_HOST_ROAD_RETRY_H

#include <chrono>
#include <string>

#include "imctl/status.h"

namespace imctl::host {

Status retry_later(imctl_code code, std::string message,
                   std::chrono::milliseconds delay = std::chrono::milliseconds(200));

}  // namespace imctl::host

#endif  // IMCTL_HOST_ROAD_RETRY_H
