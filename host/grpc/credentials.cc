#include "grpc/credentials.h"

#include <grpc/grpc_security_constants.h>
#include <grpcpp/security/tls_certificate_provider.h>
#include <grpcpp/security/tls_credentials_options.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>

#include <algorithm>
#include <array>
#include <cctype>
#include <cstring>
#include <mutex>
#include <unordered_map>
#include <vector>

#include "core/host.h"
#include "road/loopback.h"

namespace imctl::host {
namespace {

constexpr unsigned kReadAgainSeconds = 1;

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

std::vector<std::string> properties(const grpc::AuthContext& auth, const char* kind) {
  std::vector<std::string> values;
  for (const grpc::string_ref& value : auth.FindPropertyValues(kind)) {
    values.emplace_back(value.data(), value.size());
  }
  return values;
}

// A certificate that is to hold for ever ends with the year 9999, which nanoseconds do not reach.
constexpr int64_t kNever = INT64_MAX;

// When a certificate in PEM ends, in nanoseconds of CLOCK_MONOTONIC. A connection outlives the look
// that was taken at its beginning.
int64_t end_of(const std::string& pem) {
  std::unique_ptr<BIO, decltype(&BIO_free)> bio(
      BIO_new_mem_buf(pem.data(), static_cast<int>(pem.size())), &BIO_free);
  std::unique_ptr<X509, decltype(&X509_free)> certificate(
      PEM_read_bio_X509(bio.get(), nullptr, nullptr, nullptr), &X509_free);
  int days = 0;
  int seconds = 0;
  if (certificate == nullptr ||
      ASN1_TIME_diff(&days, &seconds, nullptr, X509_get0_notAfter(certificate.get())) != 1) {
    return monotonic_now();
  }
  constexpr int kFarDays = 365 * 100;
  if (days >= kFarDays) return kNever;
  constexpr int64_t kSecondsADay = 86400;
  return monotonic_now() + (days * kSecondsADay + seconds) * 1'000'000'000;
}

// The ends of certificates that were seen, by their text: reading one takes longer than a call.
class CertificateEnds {
 public:
  int64_t find(const std::string& pem) {
    std::lock_guard lock(mutex_);
    auto at = ends_.find(pem);
    if (at != ends_.end()) return at->second;
    if (ends_.size() >= kMost) ends_.clear();
    return ends_[pem] = end_of(pem);
  }

 private:
  static constexpr size_t kMost = 1024;
  std::mutex mutex_;
  std::unordered_map<std::string, int64_t> ends_;
};

int64_t certificate_end(const grpc::AuthContext& auth) {
  static CertificateEnds ends;
  std::vector<std::string> pem = properties(auth, GRPC_X509_PEM_CERT_PROPERTY_NAME);
  return pem.empty() ? monotonic_now() : ends.find(pem.front());
}

// Whom the certificate of the connection stands for, if it has one that was verified. What is begun
// with it ends with it.
CertifiedName certified(const AccessRules& rules, const grpc::ServerContextBase& context,
                        CallParams* params) {
  std::shared_ptr<const grpc::AuthContext> auth = context.auth_context();
  if (auth == nullptr || !auth->IsPeerAuthenticated()) return {};
  std::vector<std::string> names = properties(*auth, GRPC_PEER_DNS_PROPERTY_NAME);
  std::vector<std::string> common = properties(*auth, GRPC_X509_CN_PROPERTY_NAME);
  names.insert(names.end(), common.begin(), common.end());
  CertifiedName known = rules.find(properties(*auth, GRPC_PEER_URI_PROPERTY_NAME), names);
  if (known.kind == IMCTL_PRINCIPAL_NONE) return known;
  const int64_t end = certificate_end(*auth);
  if (end <= monotonic_now()) return {};
  if (end != kNever && (params->deadline == 0 || end < params->deadline)) {
    params->deadline = end;
    params->watch_deadline = true;
  }
  return known;
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
  constexpr size_t kLongest = 4096;
  if (bearer && authorization.size() <= kLongest) {
    return std::string(authorization.substr(kScheme.size()));
  }
  return Status(IMCTL_UNAUTHENTICATED,
                "the metadata `authorization` has to be of the form `Bearer TOKEN`, of at most " +
                    std::to_string(kLongest) + " bytes");
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
    CertifiedName known = certified(*entrance.host.access().rules(), context, params);
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
