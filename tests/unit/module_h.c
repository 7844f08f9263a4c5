#include "imctl/module.h"

/* An array may not have a negative size: what every table starts with. */
typedef char struct_size_first
    [offsetof(imctl_module, struct_size) == 0 && offsetof(imctl_host, struct_size) == 0 ? 1 : -1];
