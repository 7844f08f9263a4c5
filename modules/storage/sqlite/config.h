// The back end's settings, checked and in the form that its parts use.
#ifndef IMCTL_STORAGE_SQLITE_CONFIG_H
#define IMCTL_STORAGE_SQLITE_CONFIG_H

#include <cstddef>
#include <string>
#include <string_view>

#include "imctl/status.h"
#include "imctl/storage/sqlite/v1/config.pb.h"

namespace imctl::storage {

struct Options {
  std::string path;   // of the database file, absolute
  std::string table;  // an identifier: the tables of messages begin with it
  size_t cache = 0;
  size_t index_memory = 0;
};

// What each field may be the host has checked already (the options in config.proto); here is what
// concerns more than one field, and the URI. Touches no file.
Result<Options> read_config(const sqlite::v1::Config& config, std::string_view data_dir);

}  // namespace imctl::storage

#endif  // IMCTL_STORAGE_SQLITE_CONFIG_H
