#include "link/isolated_code.h"

namespace imctl::host {
std::unique_ptr<ModuleCode> make_isolated_code(IsolatedOptions) { return nullptr; }
}  // namespace imctl::host
