// The module `host`, built into the program: described by a manifest and called through the ABI
// like any other, so that the host's own services take the one road too.
#ifndef IMCTL_HOST_BUILTIN_BUILTIN_H
#define IMCTL_HOST_BUILTIN_BUILTIN_H

#include <string>

#include "imctl/module.h"

namespace imctl::host {

// Its serialized manifest.
std::string builtin_manifest();

const imctl_module* builtin_module();

}  // namespace imctl::host

#endif  // IMCTL_HOST_BUILTIN_BUILTIN_H
