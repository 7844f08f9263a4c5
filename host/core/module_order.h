// An order of start that works.
#ifndef IMCTL_HOST_CORE_MODULE_ORDER_H
#define IMCTL_HOST_CORE_MODULE_ORDER_H

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "core/description.h"
#include "imctl/status.h"

namespace imctl::host {

// What serves comes before what requires it; else as given. `providers`: service -> module. Errors:
// a required service that nobody serves, a circle of requirements (shown).
Result<std::vector<std::shared_ptr<const Description>>> order_modules(
    std::vector<std::shared_ptr<const Description>> modules,
    const std::map<std::string, std::string>& providers);

}  // namespace imctl::host

#endif  // IMCTL_HOST_CORE_MODULE_ORDER_H
