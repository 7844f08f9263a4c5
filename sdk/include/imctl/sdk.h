// All of the C++ layer.
#ifndef IMCTL_SDK_H
#define IMCTL_SDK_H

#include "imctl/event.h"    // IWYU pragma: export
#include "imctl/on_pool.h"  // IWYU pragma: export
#include "imctl/retry.h"    // IWYU pragma: export
#include "imctl/service.h"  // IWYU pragma: export

#endif  // IMCTL_SDK_H
