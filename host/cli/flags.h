// The flags that every command has, wherever they stand on the line.
#ifndef IMCTL_HOST_CLI_FLAGS_H
#define IMCTL_HOST_CLI_FLAGS_H

#include <chrono>
#include <string>
#include <vector>

#include "imctl/status.h"

namespace imctl::host::cli {

enum class Format { kTable, kWide, kJson, kJsonLines, kYaml, kName };

struct Flags {
  std::string server;  // --server, else $IMCTL_SERVER, as gRPC has it; else empty
  std::string config;  // --config, else empty
  bool embedded = false;
  std::vector<std::string> set;  // "section.key=value"
  std::chrono::nanoseconds timeout{0};
  bool dry_run = false;
  Format output = Format::kTable;
  bool headers = true;
  bool help = false;
  bool version = false;

  // What is left: the command's own words and flags, in their order, a "--" too.
  std::vector<std::string> rest;
};

// INVALID_ARGUMENT says what is wrong with which flag.
Result<Flags> parse_flags(const std::vector<std::string>& arguments);

// For --help.
std::string flags_help();

// Names without dashes ("server", "o"): a verb's own flags cannot have them.
const std::vector<std::string>& flag_names();

}  // namespace imctl::host::cli

#endif  // IMCTL_HOST_CLI_FLAGS_H
