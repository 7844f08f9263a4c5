// Certificates of a small cluster's own authority. Keys are ECDSA on P-256; files are PEM.
#ifndef IMCTL_HOST_CLI_TLS_CERTIFICATE_H
#define IMCTL_HOST_CLI_TLS_CERTIFICATE_H

#include <openssl/evp.h>
#include <openssl/x509.h>

#include <memory>
#include <string>
#include <vector>

#include "imctl/status.h"

namespace imctl::host::cli {

using Key = std::unique_ptr<EVP_PKEY, decltype(&EVP_PKEY_free)>;
using Certificate = std::unique_ptr<X509, decltype(&X509_free)>;

// Who comes in with a certificate stands in it as a URI: imctl://user/ann@example.org,
// imctl://node/n1, imctl://admin/NAME.
inline constexpr const char* kIdentityScheme = "imctl://";

// The names in a certificate.
struct Names {
  std::vector<std::string> hosts;  // DNS names and IP addresses
  std::string identity;            // the URI; empty: none
};

// Is it a DNS name, maybe with `*.` before it, or an IP address?
bool is_host_name(const std::string& text);
// May it stand in an identity? Letters, digits and ._-+, in a user's name an @ too.
bool is_identity_name(const std::string& text);

Result<Key> make_key();
Result<Key> parse_key(const std::string& pem);
// For the owner's eyes.
Result<std::string> key_pem(const Key& key);

// An authority's certificate, signed by itself. It may sign no other authorities.
Result<Certificate> make_authority(const Key& key, const std::string& name, int days);

struct Issuer {
  const Certificate& certificate;
  const Key& key;
};
// One of `issuer`'s, for a server if it has names of hosts, and for a client. It ends no later than
// the issuer's.
Result<Certificate> issue(const Issuer& issuer, const Key& key, const std::string& name,
                          const Names& names, int days);

Result<std::string> certificate_pem(const Certificate& certificate);
// All that are in the text. Errors if there is none.
Result<std::vector<Certificate>> parse_certificates(const std::string& pem);

Names names_of(const Certificate& certificate);
bool is_key_of(const Key& key, const Certificate& certificate);
bool is_signed_by(const Certificate& certificate, const Certificate& issuer);

// RFC 3339, in UTC.
std::string begin_of(const Certificate& certificate);
std::string end_of(const Certificate& certificate);
// It ended, or has not begun.
bool holds_now(const Certificate& certificate);
std::string subject_of(const Certificate& certificate);
std::string issuer_of(const Certificate& certificate);
// "authority", "server", "client".
std::vector<std::string> uses_of(const Certificate& certificate);

}  // namespace imctl::host::cli

#endif  // IMCTL_HOST_CLI_TLS_CERTIFICATE_H
