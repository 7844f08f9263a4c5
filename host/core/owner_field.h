// The field of a request that says whose it is about.
#ifndef IMCTL_HOST_CORE_OWNER_FIELD_H
#define IMCTL_HOST_CORE_OWNER_FIELD_H

#include <cstdint>
#include <string>
#include <string_view>

#include "imctl/status.h"

namespace imctl::host {

// The string field `number` of a serialized message, as its reader will see it: of several the last
// counts, and none is empty. INVALID_ARGUMENT: it is no message.
Result<std::string> owner_in(std::string_view message, uint32_t number);

}  // namespace imctl::host

#endif  // IMCTL_HOST_CORE_OWNER_FIELD_H
