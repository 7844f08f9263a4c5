#include "cli/flags.h"

#include <algorithm>
#include <boost/program_options.hpp>
#include <cctype>

#include "cli/address.h"
#include "cli/suggest.h"
#include "cli/text.h"
#include "core/value_format.h"

namespace imctl::host::cli {
namespace {

namespace po = boost::program_options;

// How often --watch repeats if it does not say.
constexpr const char* kWatchInterval = "2s";
// As the host takes them.
constexpr size_t kLongestCallId = 64;

po::options_description described() {
  po::options_description known;
  for (const FlagInfo& flag : common_flags()) {
    std::string name = flag.name;
    if (flag.short_name != 0) name += std::string(",") + flag.short_name;
    std::string value = flag.value;
    if (value.empty()) {
      known.add_options()(name.c_str(), po::bool_switch());
    } else if (value.starts_with('[')) {
      known.add_options()(name.c_str(), po::value<std::string>()->implicit_value(kWatchInterval));
    } else {
      known.add_options()(name.c_str(), po::value<std::string>());
    }
  }
  return known;
}

Status parse_time(const std::string& flag, const std::string& text, bool zero,
                  std::chrono::nanoseconds* time) {
  std::optional<int64_t> parsed = parse_duration(text);
  if (!parsed || *parsed < 0 || (*parsed == 0 && !zero)) {
    return {IMCTL_INVALID_ARGUMENT,
            flag + " '" + text + "' is not a duration: write it like 90s, 1.5h or 250ms"};
  }
  *time = std::chrono::nanoseconds(*parsed);
  return {};
}

Status parse_columns(const std::string& text, std::vector<std::string>* columns) {
  size_t start = 0;
  while (start <= text.size()) {
    size_t end = std::min(text.find(',', start), text.size());
    if (end > start) columns->push_back(text.substr(start, end - start));
    start = end + 1;
  }
  if (!columns->empty()) return {};
  return {IMCTL_INVALID_ARGUMENT, "--columns needs names with commas between them"};
}

Status parse_call_id(const std::string& text, std::string* id) {
  bool good = !text.empty() && text.size() <= kLongestCallId &&
              std::all_of(text.begin(), text.end(), [](char c) { return c > ' ' && c < 127; });
  if (!good) {
    return {IMCTL_INVALID_ARGUMENT, "--call-id takes up to " + std::to_string(kLongestCallId) +
                                        " letters, digits and signs, without blanks"};
  }
  *id = text;
  return {};
}

Status apply(const std::string& name, const std::string& value, Flags* flags) {
  if (name == "server") flags->server = value;
  if (name == "context") flags->context = value;
  if (name == "config") flags->config = value;
  if (name == "embedded") flags->embedded = true;
  if (name == "set") flags->set.push_back(value);
  if (name == "dry-run") flags->dry_run = true;
  if (name == "yes") flags->yes = true;
  if (name == "verbose") flags->verbose = true;
  if (name == "sort-by") flags->sort_by = value;
  if (name == "no-headers") flags->headers = false;
  if (name == "help") flags->help = true;
  if (name == "version") flags->version = true;
  if (name == "columns") return parse_columns(value, &flags->columns);
  if (name == "call-id") return parse_call_id(value, &flags->call_id);
  if (name == "timeout") return parse_time("--timeout", value, false, &flags->timeout);
  if (name == "watch") {
    std::chrono::nanoseconds interval{0};
    Status status = parse_time("--watch", value, true, &interval);
    if (status.ok()) flags->watch = interval;
    return status;
  }
  if (name == "output") {
    Result<Format> format = parse_format(value);
    if (!format.ok()) return format.status();
    flags->output = *format;
  }
  return {};
}

Status check(Flags* flags) {
  if (!flags->server.empty()) {
    Result<std::string> address = normal_address(flags->server);
    if (!address.ok()) return {IMCTL_INVALID_ARGUMENT, "--server: " + address.status().message()};
    flags->server = *address;
  }
  if (flags->embedded && (!flags->server.empty() || !flags->context.empty())) {
    return {IMCTL_INVALID_ARGUMENT, std::string("--embedded opens a host in this process and ") +
                                        (flags->server.empty() ? "--context" : "--server") +
                                        " names another: choose one"};
  }
  Format format = flags->format();
  if (!flags->columns.empty() && format != Format::kTable && format != Format::kWide &&
      format != Format::kName) {
    return {IMCTL_INVALID_ARGUMENT, "--columns is for tables (-o table, wide, name): -o " +
                                        format_names()[static_cast<size_t>(format)] +
                                        " shows the whole reply"};
  }
  return {};
}

}  // namespace

const std::vector<FlagInfo>& common_flags() {
  static const std::vector<FlagInfo> kFlags = {
      {"server", 0, "ADDR",
       "the host to call: unix:PATH, HOST:PORT, grpcs://HOST:PORT ($IMCTL_SERVER)"},
      {"context", 0, "NAME", "the context to use: see `imctl context --help` ($IMCTL_CONTEXT)"},
      {"config", 0, "FILE", "the config file ($IMCTL_CONFIG)"},
      {"embedded", 0, "", "open a host in this process instead of calling a running one"},
      {"set", 0, "SECTION.KEY=VALUE", "a setting, for serve and --embedded; may be repeated"},
      {"timeout", 0, "DURATION", "give up after this long: 5s, 2m"},
      {"dry-run", 0, "", "say what would be done, change nothing"},
      {"yes", 'y', "", "do not ask before what destroys"},
      {"watch", 0, "[=INTERVAL]",
       "repeat what only reads, every 2s or INTERVAL, and show the screen anew; =0: do not"},
      {"output", 'o', "FORMAT", "table, wide, json, jsonl, yaml or name"},
      {"columns", 0, "NAME,...", "the columns of the table"},
      {"sort-by", 0, "COLUMN[:desc]", "sort the rows by a column; :desc: the largest first"},
      {"no-headers", 0, "", "tables without their first line"},
      {"call-id", 0, "ID", "the call's id in the host's log; default: a new one"},
      {"verbose", 'v', "", "say the call's id with every error"},
      {"help", 'h', "", "help for what stands before it"},
      {"version", 0, "", "the program's version"},
  };
  return kFlags;
}

const std::vector<std::string>& format_names() {
  static const std::vector<std::string> kNames = {"table", "wide", "json", "jsonl", "yaml", "name"};
  return kNames;
}

Result<Format> parse_format(const std::string& text) {
  const std::vector<std::string>& names = format_names();
  auto found = std::find(names.begin(), names.end(), text);
  if (found != names.end()) return static_cast<Format>(found - names.begin());
  return Status(IMCTL_INVALID_ARGUMENT, "-o '" + clean_line(text) + "': no such format" +
                                            did_you_mean(text, names) + "; there are " +
                                            join(names, ", "));
}

Result<Flags> parse_flags(const std::vector<std::string>& arguments) {
  Flags flags;
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
      std::string value = option.value.empty() ? "" : option.value.front();
      if (option.string_key == "watch" && value.empty()) value = kWatchInterval;
      Status status = apply(option.string_key, value, &flags);
      if (!status.ok()) return status;
    }
    flags.rest = po::collect_unrecognized(parsed.options, po::include_positional);
  } catch (const po::invalid_command_line_syntax& error) {
    return Status(IMCTL_INVALID_ARGUMENT, error.get_option_name() + " needs a value");
  } catch (const po::error& error) {
    return Status(IMCTL_INVALID_ARGUMENT, error.what());
  }
  flags.rest.insert(flags.rest.end(), end, arguments.end());
  Status status = check(&flags);
  if (!status.ok()) return status;
  return flags;
}

std::string flags_help(size_t width) {
  TwoColumns lines;
  for (const FlagInfo& flag : common_flags()) {
    std::string name = flag.short_name == 0 ? "" : std::string("-") + flag.short_name + ", ";
    name += std::string("--") + flag.name;
    std::string value = flag.value;
    if (!value.empty()) name += (value.starts_with("[=") ? "" : " ") + value;
    lines.emplace_back(name, flag.help);
  }
  return two_columns(lines, width);
}

const std::vector<std::string>& flag_names() {
  static const std::vector<std::string> kNames = [] {
    std::vector<std::string> names;
    for (const FlagInfo& flag : common_flags()) {
      names.emplace_back(flag.name);
      if (flag.short_name != 0) names.emplace_back(1, flag.short_name);
    }
    return names;
  }();
  return kNames;
}

}  // namespace imctl::host::cli
