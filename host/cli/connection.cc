#include "cli/connection.h"

#include <unistd.h>

#include <string_view>

#include "cli/address.h"
#include "cli/text.h"
#include "road/loopback.h"

namespace imctl::host::cli {
namespace {

constexpr std::string_view kTls = "grpcs://";

// Is what is sent there seen by this machine only?
bool is_private(const std::string& address) {
  return address.starts_with("unix:") || is_loopback(address);
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
  return connection;
}

Status check_token(const Connection& connection, const std::string& from) {
  if (connection.context.token_file.empty() || connection.tls || is_private(connection.address)) {
    return {};
  }
  return {IMCTL_INVALID_ARGUMENT, from + ": its token would be seen on the way to " +
                                      connection.address + ": use grpcs://"};
}

// With the token that was kept for it, if the context names none.
Result<Connection> with_token(Result<Connection> connection, const Flags& flags,
                              const std::string& name, const std::string& from) {
  if (!connection.ok()) return connection;
  Contexts contexts;
  connection->name = name;
  Context& context = connection->context;
  if (context.token_file.empty()) {
    connection->kept_token =
        !name.empty() ? contexts.kept_token(name)
                      : contexts.kept_token_of_address((connection->tls ? std::string(kTls) : "") +
                                                       connection->address);
    if (::access(connection->kept_token.c_str(), F_OK) == 0) {
      context.token_file = connection->kept_token;
    }
  }
  if (flags.anonymous) context.token_file.clear();
  Status status = check_token(*connection, from);
  if (!status.ok()) return status;
  return connection;
}

}  // namespace

Status check_connection(const Context& context, const std::string& from) {
  Result<Connection> connection = finish(context.server, context, from);
  return connection.ok() ? check_token(*connection, from) : connection.status();
}

Status check_token_way(const Connection& connection) {
  if (connection.tls || is_private(connection.address)) return {};
  return {IMCTL_INVALID_ARGUMENT, "the password and the token would be seen on the way to " +
                                      connection.address + ": use grpcs://"};
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
    const std::string from = "context `" + name + "`";
    if (!flags.server.empty() && flags.server != context->server) {
      // What proves who we are goes to the host that it was made for, and to no other.
      context->token_file.clear();
      context->tls_cert.clear();
      context->tls_key.clear();
      return with_token(finish(flags.server, std::move(*context), from), flags, "", from);
    }
    const std::string server = context->server;
    return with_token(finish(server, std::move(*context), from), flags, name, from);
  }
  auto at = [&flags](const std::string& server, const std::string& from) {
    return with_token(finish(server, {}, from), flags, "", from);
  };
  if (!flags.server.empty()) return at(flags.server, "--server");
  std::string server = env("IMCTL_SERVER");
  if (!server.empty()) return at(server, "$IMCTL_SERVER");
  Result<std::string> address = default_address(flags.config);
  if (!address.ok()) return address.status();
  return at(*address, "the config file");
}

}  // namespace imctl::host::cli
