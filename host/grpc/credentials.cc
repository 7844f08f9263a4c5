#include "grpc/credentials.h"

#include <grpc/grpc_security_constants.h>
#include <grpcpp/security/tls_certificate_provider.h>
#include <grpcpp/security/tls_credentials_options.h>
#include <openssl/err.h>
#include <openssl/ssl.h>

#include <algorithm>
#include <array>
#include <cctype>
#include <cstring>
#include <vector>

#include "core/host.h"

namespace imctl::host {
namespace {

constexpr unsigned kReadAgainSeconds = 1;

bool is_loopback(const std::string& address) {
  std::string host = address.substr(0, address.rfind(':'));
  return host == "localhost" || host == "[::1]" || host.rfind("127.", 0) == 0;
}

std::string openssl_reason() {
  const unsigned long first = ERR_peek_error();
  const char* reason = ERR_SYSTEM_ERROR(first) ? std::strerror(ERR_GET_REASON(first))
                                               : ERR_reason_error_string(first);
  ERR_clear_error();
  return reason == nullptr ? "it cannot be read" : reason;
}

// gRPC would only fail each connection.
Status check_files(const HostConfig& config) {
  std::unique_ptr<SSL_CTX, decltype(&SSL_CTX_free)> tls(SSL_CTX_new(TLS_server_method()),
                                                        &SSL_CTX_free);
  auto bad = [](const char* setting, const std::string& path) {
    return Status(IMCTL_FAILED_PRECONDITION, std::string("host.") + setting + ": " + path + ": " +
                                                 openssl_reason() +
                                                 " (a file in PEM is wanted; `imctl tls issue` "
                                                 "makes certificates and keys)");
  };
  ERR_clear_error();
  if (SSL_CTX_use_certificate_chain_file(tls.get(), config.tls_cert.c_str()) != 1) {
    return bad("tls_cert", config.tls_cert);
  }
  if (SSL_CTX_use_PrivateKey_file(tls.get(), config.tls_key.c_str(), SSL_FILETYPE_PEM) != 1 ||
      SSL_CTX_check_private_key(tls.get()) != 1) {
    return bad("tls_key", config.tls_key);
  }
  if (!config.tls_client_ca.empty() &&
      SSL_CTX_load_verify_locations(tls.get(), config.tls_client_ca.c_str(), nullptr) != 1) {
    return bad("tls_client_ca", config.tls_client_ca);
  }
  return {};
}

// All names of a certificate that was verified; URIs first, which are meant for programs.
std::vector<std::string> certified_names(const grpc::ServerContextBase& context) {
  std::vector<std::string> names;
  std::shared_ptr<const grpc::AuthContext> auth = context.auth_context();
  if (auth == nullptr || !auth->IsPeerAuthenticated()) return names;
  for (const char* kind : {GRPC_PEER_URI_PROPERTY_NAME, GRPC_PEER_DNS_PROPERTY_NAME,
                           GRPC_X509_CN_PROPERTY_NAME}) {
    for (const grpc::string_ref& name : auth->FindPropertyValues(kind)) {
      names.emplace_back(name.data(), name.size());
    }
  }
  return names;
}

}  // namespace

Result<std::shared_ptr<grpc::ServerCredentials>> listener_credentials(const HostConfig& config) {
  namespace tls = grpc::experimental;
  if (config.tls_cert.empty()) return grpc::InsecureServerCredentials();
  Status status = check_files(config);
  if (!status.ok()) return status;
  auto files = config.tls_client_ca.empty()
                   ? std::make_shared<tls::FileWatcherCertificateProvider>(
                         config.tls_key, config.tls_cert, kReadAgainSeconds)
                   : std::make_shared<tls::FileWatcherCertificateProvider>(
                         config.tls_key, config.tls_cert, config.tls_client_ca, kReadAgainSeconds);
  tls::TlsServerCredentialsOptions options(files);
  options.watch_identity_key_cert_pairs();
  if (config.tls_client_ca.empty()) {
    options.set_cert_request_type(GRPC_SSL_DONT_REQUEST_CLIENT_CERTIFICATE);
  } else {
    options.watch_root_certs();
    // Who has none may bring a token.
    options.set_cert_request_type(GRPC_SSL_REQUEST_CLIENT_CERTIFICATE_AND_VERIFY);
  }
  return tls::TlsServerCredentials(options);
}

Status check_listeners(const HostConfig& config) {
  for (const std::string& address : config.listen) {
    if (is_loopback(address)) continue;
    if (config.auth_none) {
      return {IMCTL_FAILED_PRECONDITION,
              "host.listen: " + address +
                  " is not a loopback address, and host.auth = none is accepted on loopback only"};
    }
    if (config.tls_cert.empty() && !config.plaintext) {
      return {IMCTL_FAILED_PRECONDITION,
              "host.listen: tokens and keys would come to " + address +
                  " unencrypted. Set host.tls_cert and host.tls_key (`imctl tls init` and `imctl "
                  "tls issue` make them); or host.plaintext = yes, if something in front of the "
                  "host encrypts"};
    }
  }
  if (config.listen.empty() && config.socket.empty()) {
    return {IMCTL_FAILED_PRECONDITION,
            "host.listen and host.socket are both none: nobody could reach this host"};
  }
  return {};
}

Result<std::string> bearer_token(std::string_view authorization) {
  constexpr std::string_view kScheme = "bearer ";
  const bool bearer =
      authorization.size() > kScheme.size() &&
      std::equal(kScheme.begin(), kScheme.end(), authorization.begin(),
                 [](char wanted, unsigned char c) { return wanted == std::tolower(c); });
  if (bearer) return std::string(authorization.substr(kScheme.size()));
  return Status(IMCTL_UNAUTHENTICATED,
                "the metadata `authorization` has to be of the form `Bearer TOKEN`");
}

void identify_connection(const Entrance& entrance, const grpc::ServerContextBase& context,
                         CallParams* params) {
  const HostConfig& config = entrance.host.config();
  params->peer = context.peer();
  if (entrance.socket != nullptr) {
    if (auto peer = entrance.socket->find(params->peer); peer != nullptr) {
      params->peer = "unix:";
      if (peer->administrator || config.auth_none) {
        params->principal_kind = IMCTL_PRINCIPAL_ADMIN;
        params->principal = config.auth_none ? "auth=none" : peer->name;
      }
      return;
    }
  }
  if (entrance.tls && !config.tls_client_ca.empty()) {
    CertifiedName known = entrance.host.access().rules()->find(certified_names(context));
    if (known.kind == IMCTL_PRINCIPAL_USER) {
      params->certified_user = known.name;
      return;
    }
    if (known.kind == IMCTL_PRINCIPAL_NODE) params->node = known.name;
    if (known.kind != IMCTL_PRINCIPAL_NONE) {
      params->principal_kind = known.kind;
      params->principal = known.name;
      return;
    }
  }
  if (config.auth_none) {
    params->principal_kind = IMCTL_PRINCIPAL_ADMIN;
    params->principal = "auth=none";
  }
}

}  // namespace imctl::host
