// The functions that the ABI's tables point to.
#ifndef IMCTL_HOST_ROAD_HOST_TABLES_H
#define IMCTL_HOST_ROAD_HOST_TABLES_H

#include "imctl/module.h"

namespace imctl::host {

// The core functions of a host handle.
imctl_host host_functions();

}  // namespace imctl::host

#endif  // IMCTL_HOST_ROAD_HOST_TABLES_H
