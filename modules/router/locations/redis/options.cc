#include "redis/options.h"

#include <regex>

#include "common/requests.h"

namespace imctl::locations {
namespace {

Status bad(const std::string& text) { return {IMCTL_INVALID_ARGUMENT, text}; }

constexpr int kPort = 6379;
constexpr int kLastPort = 65535;

}  // namespace

Result<RedisOptions> read_options(const cluster::redis::v1::Config& config) {
  static const std::regex form(
      "redis://(?:\\[([0-9a-fA-F:.]+)\\]|([A-Za-z0-9._-]+))(?::([0-9]{1,5}))?(?:/([0-9]{0,5}))?");
  const std::string& uri = config.uri();
  // They would be in logs and lists.
  if (uri.find('@') != std::string::npos) {
    return bad("uri: user and password do not belong into it: set username and password");
  }
  if (uri.starts_with("rediss:")) {
    return bad("uri: TLS is not served; let a tunnel on this machine encrypt (stunnel)");
  }
  std::smatch parts;
  if (!std::regex_match(uri, parts, form)) {
    return bad("uri: \"" + uri +
               "\" is not where a Redis server is: write \"redis://HOST:PORT/DATABASE\"");
  }
  RedisOptions made;
  made.name = uri;
  made.host = parts[1].matched ? parts[1].str() : parts[2].str();
  made.port = parts[3].matched ? std::stoi(parts[3].str()) : kPort;
  if (made.port == 0 || made.port > kLastPort) return bad("uri: there is no such port");
  made.database = parts[4].matched && parts[4].length() > 0 ? parts[4].str() : "0";
  if (!config.username().empty() && config.password().empty()) {
    return bad("password is missing: username has to prove itself");
  }
  made.username = config.username();
  made.password = config.password();
  made.prefix = "imctl:" + config.cluster() + ":";
  made.expiry = milliseconds(config.expiry());
  made.connect_timeout = milliseconds(config.connect_timeout());
  made.answer_timeout = milliseconds(config.answer_timeout());
  return made;
}

}  // namespace imctl::locations
