#include "nats/options.h"

#include <regex>

#include "common/requests.h"

namespace imctl::locations {
namespace {

Status bad(const std::string& text) { return {IMCTL_INVALID_ARGUMENT, text}; }

}  // namespace

Result<NatsOptions> read_options(const cluster::nats::v1::Config& config) {
  static const std::regex form(
      "(nats|tls)://(\\[[0-9a-fA-F:.]+\\]|[A-Za-z0-9._-]+)(:[0-9]{1,5})?/?");
  NatsOptions made;
  size_t with_tls = 0;
  for (const std::string& uri : config.uri()) {
    // They would be in logs and lists.
    if (uri.find('@') != std::string::npos) {
      return bad(
          "uri: user, password and token do not belong into it: set username and password, or "
          "token");
    }
    if (!std::regex_match(uri, form)) {
      return bad("uri: \"" + uri +
                 "\" is not where a NATS server is: write \"nats://HOST:PORT\", or "
                 "\"tls://HOST:PORT\"");
    }
    if (uri.starts_with("tls:")) ++with_tls;
    made.servers.push_back(uri);
    if (!made.name.empty()) made.name += ", ";
    made.name += uri;
  }
  made.tls = with_tls > 0;
  if (made.tls && with_tls != made.servers.size()) {
    return bad("uri: all servers are to be tls://, or none");
  }
  if (!made.tls &&
      !(config.tls_ca().empty() && config.tls_cert().empty() && config.tls_key().empty())) {
    return bad("tls_ca, tls_cert and tls_key are for servers at tls://HOST:PORT");
  }
  if (made.tls && config.tls_ca().empty()) {
    return bad(
        "tls_ca is missing: the file with the certificate of the authority that the server's is "
        "of");
  }
  if (config.tls_cert().empty() != config.tls_key().empty()) {
    return bad("tls_cert and tls_key go together");
  }
  if (!config.token().empty() && !(config.username().empty() && config.password().empty())) {
    return bad("token: either this, or username and password");
  }
  if (config.username().empty() && !config.password().empty()) {
    return bad("password: without username nobody asks for it");
  }
  made.username = config.username();
  made.password = config.password();
  made.token = config.token();
  made.tls_ca = config.tls_ca();
  made.tls_cert = config.tls_cert();
  made.tls_key = config.tls_key();
  made.subject = "imctl." + config.cluster() + ".locations";
  made.connect_timeout = milliseconds(config.connect_timeout());
  made.queue_bytes = config.queue_bytes();
  return made;
}

}  // namespace imctl::locations
