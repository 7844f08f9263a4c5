// A module's code in this process, through the ABI's struct.
#ifndef IMCTL_HOST_ROAD_ABI_CODE_H
#define IMCTL_HOST_ROAD_ABI_CODE_H

#include <memory>

#include "road/module_code.h"

namespace imctl::host {

// `code` keeps mapped what `module` points to; empty for what is built in. Messages of errors do
// not name the module: its instance does.
std::unique_ptr<ModuleCode> make_abi_code(std::shared_ptr<const void> code,
                                          const imctl_module* module);

}  // namespace imctl::host

#endif  // IMCTL_HOST_ROAD_ABI_CODE_H
