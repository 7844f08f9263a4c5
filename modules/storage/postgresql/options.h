// The back end's settings, checked and in the form that its parts use.
#ifndef IMCTL_STORAGE_POSTGRESQL_OPTIONS_H
#define IMCTL_STORAGE_POSTGRESQL_OPTIONS_H

#include <cstddef>

#include "connection.h"
#include "imctl/status.h"
#include "imctl/storage/postgresql/v1/config.pb.h"

namespace imctl::storage {

struct Options {
  Target target;
  size_t readers = 0;
};

// INVALID_ARGUMENT names the field. Connects to nothing.
Result<Options> read_options(const postgresql::v1::Config& config);

}  // namespace imctl::storage

#endif  // IMCTL_STORAGE_POSTGRESQL_OPTIONS_H
