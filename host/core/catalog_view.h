// What clients make their command line from: the manifests of the modules that run.
#ifndef IMCTL_HOST_CORE_CATALOG_VIEW_H
#define IMCTL_HOST_CORE_CATALOG_VIEW_H

#include "core/modules.h"

namespace imctl::host {

// Fills the manifests and the digest from the modules and providers.
void fill_catalog(Modules::View& view);

}  // namespace imctl::host

#endif  // IMCTL_HOST_CORE_CATALOG_VIEW_H
