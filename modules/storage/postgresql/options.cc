#include "options.h"

#include <libpq-fe.h>

#include <map>
#include <memory>
#include <string>

#include "settings.h"

namespace imctl::storage {
namespace {

Status bad(const std::string& text) { return {IMCTL_INVALID_ARGUMENT, text}; }

struct FreeOptions {
  void operator()(PQconninfoOption* options) const { PQconninfoFree(options); }
};

using Parameters = std::map<std::string, std::string>;

Result<Parameters> parse_uri(const std::string& uri) {
  char* error = nullptr;
  std::unique_ptr<PQconninfoOption, FreeOptions> parsed(PQconninfoParse(uri.c_str(), &error));
  std::unique_ptr<char, void (*)(void*)> text(error, PQfreemem);
  // libpq's words may show the password; so might ours.
  if (parsed == nullptr || !(uri.starts_with("postgresql://") || uri.starts_with("postgres://"))) {
    std::string why = uri.find('@') == std::string::npos && error != nullptr
                          ? std::string(" (") + error + ")"
                          : std::string();
    while (!why.empty() && why.find('\n') != std::string::npos) why.erase(why.find('\n'), 1);
    return bad("uri: this is not where a PostgreSQL server is" + why +
               ": write \"postgresql://USER@HOST:PORT/DATABASE?sslmode=verify-full\", with letters "
               "that are special in a URI as %XX");
  }
  Parameters parameters;
  for (const PQconninfoOption* option = parsed.get(); option->keyword != nullptr; ++option) {
    if (option->val != nullptr) parameters[option->keyword] = option->val;
  }
  return parameters;
}

// As libpq fills in what is not said.
std::string effective(const Parameters& parameters, const std::string& key) {
  if (auto found = parameters.find(key); found != parameters.end()) return found->second;
  std::unique_ptr<PQconninfoOption, FreeOptions> defaults(PQconndefaults());
  for (const PQconninfoOption* option = defaults.get();
       option != nullptr && option->keyword != nullptr; ++option) {
    if (key == option->keyword && option->val != nullptr) return option->val;
  }
  return {};
}

std::string describe(const Parameters& parameters) {
  std::string host = effective(parameters, "host");
  if (host.empty()) host = effective(parameters, "hostaddr");
  if (host.empty()) host = "the local socket";
  std::string database = effective(parameters, "dbname");
  if (database.empty()) database = effective(parameters, "user");
  return "the PostgreSQL database \"" + database + "\" at " + host + ":" +
         effective(parameters, "port");
}

}  // namespace

Result<Options> read_options(const postgresql::v1::Config& config) {
  Result<Parameters> parsed = parse_uri(config.uri());
  if (!parsed.ok()) return parsed.status();
  Parameters& parameters = *parsed;
  auto set = [&](const char* key, const std::string& value) {
    if (!value.empty()) parameters[key] = value;
  };
  set("dbname", config.db_name());
  set("user", config.username());
  set("password", config.password());
  set("sslmode", config.sslmode());
  set("sslrootcert", config.sslrootcert());
  set("sslcert", config.sslcert());
  set("sslkey", config.sslkey());
  // A server that is gone without a word is noticed after some 25 seconds, while it owes an answer
  // after 10.
  parameters.emplace("keepalives_idle", "10");
  parameters.emplace("keepalives_interval", "5");
  parameters.emplace("keepalives_count", "3");
  parameters.emplace("tcp_user_timeout", "10000");
  parameters.emplace("fallback_application_name", "imctl");
  parameters["client_encoding"] = "UTF8";

  Options options;
  options.target.parameters.assign(parameters.begin(), parameters.end());
  options.target.name = describe(parameters);
  options.target.schema = config.table();
  if (config.table().empty() || config.table().starts_with("pg_") || config.table() == "public" ||
      config.table() == "information_schema") {
    return bad(
        "table: \"" + config.table() +
        "\" is a schema that PostgreSQL keeps for itself or for everybody: use another name");
  }
  options.target.connect_timeout = to_ms(config.connect_timeout());
  options.target.answer_timeout = to_ms(config.answer_timeout());
  options.readers = config.connections();
  return options;
}

}  // namespace imctl::storage
