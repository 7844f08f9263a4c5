#include "cli/connection.h"

#include <string_view>

#include "cli/address.h"
#include "cli/text.h"

namespace imctl::host::cli {
namespace {

constexpr std::string_view kTls = "grpcs://";

// Is what is sent there seen by this machine only?
bool is_private(const std::string& address) {
  return address.starts_with("unix:") || address.starts_with("127.") ||
         address.starts_with("localhost:") || address.starts_with("[::1]:");
}

Result<Connection> finish(const std::string& written, Context context, const std::string& from) {
  Result<std::string> address = normal_address(written);
  if (!address.ok())
    return Status(IMCTL_INVALID_ARGUMENT, from + ": " + address.status().message());
  Connection connection{*address, false, std::move(context)};
  if (connection.address.starts_with(kTls)) {
    connection.tls = true;
    connection.address.erase(0, kTls.size());
  }
  const Context& with = connection.context;
  bool files = !with.tls_ca.empty() || !with.tls_cert.empty() || !with.tls_key.empty();
  if (files && !connection.tls) {
    return Status(IMCTL_INVALID_ARGUMENT,
                  from + ": there are files for TLS, but its address is not grpcs://HOST:PORT");
  }
  if (with.tls_cert.empty() != with.tls_key.empty()) {
    return Status(IMCTL_INVALID_ARGUMENT, from + ": tls_cert and tls_key belong together");
  }
  if (!with.token_file.empty() && !connection.tls && !is_private(connection.address)) {
    return Status(IMCTL_INVALID_ARGUMENT, from + ": its token would be seen on the way to " +
                                              connection.address + ": use grpcs://");
  }
  return connection;
}

}  // namespace

Status check_connection(const Context& context, const std::string& from) {
  return finish(context.server, context, from).status();
}

std::string context_in_force(const Flags& flags) {
  if (!flags.context.empty()) return flags.context;
  if (!flags.server.empty() || !env("IMCTL_SERVER").empty()) return {};
  std::string named = env("IMCTL_CONTEXT");
  if (!named.empty() || !flags.config.empty()) return named;
  return Contexts().current();
}

Result<Connection> find_connection(const Flags& flags) {
  std::string name = context_in_force(flags);
  if (!name.empty()) {
    Result<Context> context = Contexts().get(name);
    if (!context.ok()) return context.status();
    std::string server = flags.server.empty() ? context->server : flags.server;
    return finish(server, std::move(*context), "context `" + name + "`");
  }
  if (!flags.server.empty()) return finish(flags.server, {}, "--server");
  std::string server = env("IMCTL_SERVER");
  if (!server.empty()) return finish(server, {}, "$IMCTL_SERVER");
  Result<std::string> address = default_address(flags.config);
  if (!address.ok()) return address.status();
  return finish(*address, {}, "the config file");
}

}  // namespace imctl::host::cli
