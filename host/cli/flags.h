// The flags that every command has, wherever they stand on the line.
#ifndef IMCTL_HOST_CLI_FLAGS_H
#define IMCTL_HOST_CLI_FLAGS_H

#include <chrono>
#include <optional>
#include <string>
#include <vector>

#include "imctl/status.h"

namespace imctl::host::cli {

enum class Format { kTable, kWide, kJson, kJsonLines, kYaml, kName };

struct Flags {
  std::string server;   // --server as gRPC has it; else empty
  std::string context;  // --context; else empty
  std::string config;   // --config; else empty
  bool embedded = false;
  bool anonymous = false;        // no flag: the token that is kept is not sent
  std::vector<std::string> set;  // "section.key=value"
  std::chrono::nanoseconds timeout{0};
  bool dry_run = false;
  bool yes = false;
  std::string call_id;  // --call-id; else empty
  bool verbose = false;
  // --watch: how often; 0: not even if the verb is made for it. Nothing: as the verb has it.
  std::optional<std::chrono::nanoseconds> watch;
  std::optional<Format> output;  // -o
  std::vector<std::string> columns;
  std::string sort_by;
  bool headers = true;
  bool help = false;
  bool version = false;

  Format format() const { return output.value_or(Format::kTable); }

  // What is left: the command's own words and flags, in their order, a "--" too.
  std::vector<std::string> rest;
};

// INVALID_ARGUMENT says what is wrong with which flag.
Result<Flags> parse_flags(const std::vector<std::string>& arguments);

// One flag of every command, for help and completion.
struct FlagInfo {
  const char* name;   // "output"
  char short_name;    // 'o'; 0: none
  const char* value;  // "FORMAT"; "[=INTERVAL]" if it may be left out; empty: there is none
  const char* help;
};
const std::vector<FlagInfo>& common_flags();

// Those of -o, in the order of Format.
const std::vector<std::string>& format_names();
Result<Format> parse_format(const std::string& text);

// For --help.
std::string flags_help(size_t width);

// Names without dashes ("server", "o"): a verb's own flags cannot have them.
const std::vector<std::string>& flag_names();

}  // namespace imctl::host::cli

#endif  // IMCTL_HOST_CLI_FLAGS_H
