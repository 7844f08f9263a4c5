#include "cli/flags.h"

#include <algorithm>
#include <boost/program_options.hpp>

#include "cli/address.h"
#include "cli/suggest.h"
#include "cli/text.h"
#include "core/value_format.h"

namespace imctl::host::cli {
namespace {

namespace po = boost::program_options;

po::options_description described() {
  po::options_description flags;
  flags.add_options()("server", po::value<std::string>())("config", po::value<std::string>())(
      "embedded", po::bool_switch())("set", po::value<std::vector<std::string>>())(
      "timeout", po::value<std::string>())("dry-run", po::bool_switch())(
      "output,o", po::value<std::string>())("no-headers", po::bool_switch())(
      "help,h", po::bool_switch())("version", po::bool_switch());
  return flags;
}

Status parse_format(const std::string& text, Format* format) {
  static const std::vector<std::string> kNames = {"table", "wide", "json", "jsonl", "yaml", "name"};
  auto found = std::find(kNames.begin(), kNames.end(), text);
  if (found == kNames.end()) {
    return {IMCTL_INVALID_ARGUMENT, "-o '" + text + "': no such format" +
                                        did_you_mean(text, kNames) + "; there are " +
                                        join(kNames, ", ")};
  }
  *format = static_cast<Format>(found - kNames.begin());
  return {};
}

Status parse_timeout(const std::string& text, std::chrono::nanoseconds* timeout) {
  std::optional<int64_t> parsed = parse_duration(text);
  if (!parsed || *parsed <= 0) {
    return {IMCTL_INVALID_ARGUMENT,
            "--timeout '" + text + "' is not a duration: write it like 90s, 1.5h or 250ms"};
  }
  *timeout = std::chrono::nanoseconds(*parsed);
  return {};
}

Status apply(const std::string& name, const std::string& value, Flags* flags) {
  if (name == "server") flags->server = value;
  if (name == "config") flags->config = value;
  if (name == "embedded") flags->embedded = true;
  if (name == "set") flags->set.push_back(value);
  if (name == "dry-run") flags->dry_run = true;
  if (name == "no-headers") flags->headers = false;
  if (name == "help") flags->help = true;
  if (name == "version") flags->version = true;
  if (name == "output") return parse_format(value, &flags->output);
  if (name == "timeout") return parse_timeout(value, &flags->timeout);
  return {};
}

}  // namespace

Result<Flags> parse_flags(const std::vector<std::string>& arguments) {
  Flags flags;
  flags.server = env("IMCTL_SERVER");
  // Boost drops a "--", after which nothing is a flag; the command must see it.
  auto end = std::find(arguments.begin(), arguments.end(), "--");
  std::vector<std::string> before(arguments.begin(), end);
  try {
    const po::options_description known = described();
    po::parsed_options parsed =
        po::command_line_parser(before)
            .options(known)
            .style(po::command_line_style::unix_style & ~po::command_line_style::allow_guessing)
            .allow_unregistered()
            .run();
    for (const po::option& option : parsed.options) {
      if (option.unregistered || option.string_key.empty()) continue;
      Status status =
          apply(option.string_key, option.value.empty() ? "" : option.value.front(), &flags);
      if (!status.ok()) return status;
    }
    flags.rest = po::collect_unrecognized(parsed.options, po::include_positional);
  } catch (const po::invalid_command_line_syntax& error) {
    return Status(IMCTL_INVALID_ARGUMENT, error.get_option_name() + " needs a value");
  } catch (const po::error& error) {
    return Status(IMCTL_INVALID_ARGUMENT, error.what());
  }
  flags.rest.insert(flags.rest.end(), end, arguments.end());
  if (!flags.server.empty()) {
    Result<std::string> address = normal_address(flags.server);
    if (!address.ok())
      return Status(IMCTL_INVALID_ARGUMENT, "--server: " + address.status().message());
    flags.server = *address;
  }
  if (flags.embedded && !flags.server.empty() && env("IMCTL_SERVER").empty()) {
    return Status(IMCTL_INVALID_ARGUMENT,
                  "--embedded opens a host in this process and --server names another: choose one");
  }
  return flags;
}

std::string flags_help() {
  return "  --server ADDR            the host to call: unix:PATH or HOST:PORT ($IMCTL_SERVER)\n"
         "  --config FILE            the config file ($IMCTL_CONFIG)\n"
         "  --embedded               open a host in this process instead of calling a running one\n"
         "  --set SECTION.KEY=VALUE  a setting, for serve and --embedded; may be repeated\n"
         "  --timeout DURATION       give up after this long: 5s, 2m\n"
         "  --dry-run                say what would be done, change nothing\n"
         "  -o, --output FORMAT      table, wide, json, jsonl, yaml or name\n"
         "  --no-headers             tables without their first line\n"
         "  -h, --help               help for what stands before it\n"
         "  --version                the program's version\n";
}

const std::vector<std::string>& flag_names() {
  static const std::vector<std::string> kNames = {"server",  "config",  "embedded", "set",
                                                  "timeout", "dry-run", "output",   "no-headers",
                                                  "help",    "version", "o",        "h"};
  return kNames;
}

}  // namespace imctl::host::cli
