// A module's code in a child process: the same shared object, run by imctl-runner, its calls over a
// Link.
#ifndef IMCTL_HOST_LINK_ISOLATED_CODE_H
#define IMCTL_HOST_LINK_ISOLATED_CODE_H

#include <memory>
#include <string>

#include "imctl/status.h"
#include "link/process_limits.h"
#include "road/module_code.h"

namespace imctl::host {

struct IsolatedOptions {
  std::string file;              // what the child loads
  std::shared_ptr<void> keeper;  // keeps that file in place
  std::string runner;            // the program that the child is
  ProcessLimits limits;
};

// The child is started by create(), and started again when it dies.
std::unique_ptr<ModuleCode> make_isolated_code(IsolatedOptions options);

}  // namespace imctl::host

#endif  // IMCTL_HOST_LINK_ISOLATED_CODE_H
