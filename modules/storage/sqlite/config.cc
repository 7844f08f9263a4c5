#include "config.h"

#include <algorithm>
#include <cctype>

namespace imctl::storage {
namespace {

Status bad(const std::string& text) { return {IMCTL_INVALID_ARGUMENT, text}; }

Result<std::string> database_path(const sqlite::v1::Config& config, std::string_view data_dir) {
  constexpr std::string_view kScheme = "sqlite:";
  const std::string& uri = config.uri();
  const std::string forms =
      ": use \"sqlite:\" for <db_name>.db in the module's data folder, or "
      "\"sqlite:///folder/file.db\"";
  if (uri.compare(0, kScheme.size(), kScheme) != 0) {
    return bad("uri: \"" + uri + "\" is not for SQLite" + forms);
  }
  std::string_view rest = std::string_view(uri).substr(kScheme.size());
  if (rest.empty() || rest == "//") {
    return std::string(data_dir) + "/" + config.db_name() + ".db";
  }
  if (rest == ":memory:") {
    return bad("uri: \"sqlite::memory:\" would lose every message when the host stops" + forms);
  }
  if (rest.find_first_of("?#") != std::string_view::npos) {
    return bad("uri: \"" + uri + "\" has parameters, which are not supported" + forms);
  }
  if (rest.substr(0, 3) != "///" || rest.back() == '/') {
    return bad("uri: \"" + uri + "\" names no file by its absolute path" + forms);
  }
  return std::string(rest.substr(2));
}

Status check_table(const std::string& table) {
  std::string lower = table;
  std::transform(lower.begin(), lower.end(), lower.begin(),
                 [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  if (table.empty() || lower.compare(0, 7, "sqlite_") == 0) {
    return bad("table: \"" + table + "\" is a name that SQLite keeps for itself: use another");
  }
  if (lower == "deliveries") {
    return bad("table: \"" + table + "\" is what the messages in mailboxes have: use another");
  }
  return {};
}

}  // namespace

Result<Options> read_config(const sqlite::v1::Config& config, std::string_view data_dir) {
  Options options;
  Result<std::string> path = database_path(config, data_dir);
  if (!path.ok()) return path.status();
  options.path = *path;
  if (Status status = check_table(config.table()); !status.ok()) return status;
  options.table = config.table();
  options.cache = config.cache();
  options.index_memory = config.index_memory();
  return options;
}

}  // namespace imctl::storage
