// Names of what lives on the host, for completion.
#ifndef IMCTL_HOST_CLI_LIVE_OBJECTS_H
#define IMCTL_HOST_CLI_LIVE_OBJECTS_H

#include <chrono>
#include <string>
#include <vector>

#include "cli/session.h"

namespace imctl::host::cli {

// Asks the verb that lists objects of the kind (its `lists`). If its first argument is called
// `prefix`, it is asked for those that begin as `typed` does. Of a verb that streams, the first
// thousand or so. Nothing if there is none, or if it fails.
std::vector<std::string> live_objects(Session& session, const std::string& kind,
                                      const std::string& typed, std::chrono::nanoseconds patience);

}  // namespace imctl::host::cli

#endif  // IMCTL_HOST_CLI_LIVE_OBJECTS_H
