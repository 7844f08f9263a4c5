// What a bug report needs to be understood.
#ifndef IMCTL_HOST_BUILTIN_DEBUG_BUNDLE_H
#define IMCTL_HOST_BUILTIN_DEBUG_BUNDLE_H

#include <string>

#include "imctl/status.h"

namespace imctl::host {

class Host;

// A .tar.gz without secrets. [pool]
Result<std::string> debug_bundle(Host& host);

}  // namespace imctl::host

#endif  // IMCTL_HOST_BUILTIN_DEBUG_BUNDLE_H
