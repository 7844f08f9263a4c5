// RESOURCE_EXHAUSTED that says when to try again, as clients of gRPC expect it:
// google.rpc.RetryInfo.
#ifndef IMCTL_USER_RETRY_H
#define IMCTL_USER_RETRY_H

#include <chrono>
#include <string>

#include "imctl/status.h"

namespace imctl::user {

Status retry_later(std::string message, std::chrono::milliseconds delay);

}  // namespace imctl::user

#endif  // IMCTL_USER_RETRY_H
