// Finds modules and puts them in an order that works.
#ifndef IMCTL_HOST_CORE_MODULE_LOADER_H
#define IMCTL_HOST_CORE_MODULE_LOADER_H

#include <memory>
#include <string>
#include <vector>

#include "core/module_file.h"
#include "imctl/module.h"
#include "imctl/status.h"

namespace imctl::host {

// The folders where an installation has its modules.
std::vector<std::string> default_module_path();

// The module files of those names in those folders; no names: every module there. None of their
// code is run. Errors name what is missing and what there is.
Result<std::vector<ModuleFile>> find_modules(const std::vector<std::string>& names,
                                             const std::vector<std::string>& folders);

// What serves comes before what requires it. Errors: a service that two serve, one that nobody
// serves, a circle of requirements (shown), a verb that two have. `builtin`: the host's own
// manifest.
Result<std::vector<ModuleFile>> order_modules(std::vector<ModuleFile> files,
                                              const Manifest& builtin);

struct LoadedCode {
  std::shared_ptr<const void> code;  // keeps it mapped
  const imctl_module* module = nullptr;
};
// Loads the shared object and asks it for its module.
Result<LoadedCode> load_code(const ModuleFile& file);

}  // namespace imctl::host

#endif  // IMCTL_HOST_CORE_MODULE_LOADER_H
