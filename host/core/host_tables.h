// The functions that the ABI's tables point to.
#ifndef IMCTL_HOST_CORE_HOST_TABLES_H
#define IMCTL_HOST_CORE_HOST_TABLES_H

#include <string_view>

#include "imctl/module.h"

namespace imctl::host {

class Host;

// The core functions of a host handle.
imctl_host host_functions();

// The table by which the module that is built in reaches the host itself; nobody else gets it.
constexpr std::string_view kBuiltinTable = "imctl.builtin/0";

}  // namespace imctl::host

#endif  // IMCTL_HOST_CORE_HOST_TABLES_H
