#include "imctl/module.h"

static_assert(IMCTL_ABI == 0);
