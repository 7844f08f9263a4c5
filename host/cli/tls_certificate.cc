#include "cli/tls_certificate.h"

#include <arpa/inet.h>
#include <openssl/bio.h>
#include <openssl/ec.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/rand.h>
#include <openssl/x509v3.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <ctime>
#include <utility>

namespace imctl::host::cli {
namespace {

using Bio = std::unique_ptr<BIO, decltype(&BIO_free)>;
using GeneralNames = std::unique_ptr<GENERAL_NAMES, decltype(&GENERAL_NAMES_free)>;

constexpr int kSerialBytes = 16;
constexpr long kClockSkew = 300;  // seconds
constexpr size_t kHostLimit = 253;
constexpr size_t kLabelLimit = 63;
constexpr size_t kIdentityLimit = 200;

Status failed(const char* what) {
  std::array<char, 256> reason{};
  ERR_error_string_n(ERR_get_error(), reason.data(), reason.size());
  ERR_clear_error();
  return {IMCTL_INTERNAL, std::string(what) + ": " + reason.data()};
}

bool is_letter_or_digit(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
}

using Address = std::unique_ptr<ASN1_OCTET_STRING, decltype(&ASN1_OCTET_STRING_free)>;
Address address_of(const std::string& text) {
  Address address(a2i_IPADDRESS(text.c_str()), ASN1_OCTET_STRING_free);
  ERR_clear_error();  // that it is none is no error
  return address;
}

std::string text_of(const ASN1_STRING* text) {
  return {reinterpret_cast<const char*>(ASN1_STRING_get0_data(text)),
          static_cast<size_t>(ASN1_STRING_length(text))};
}

std::string text_of(Bio bio) {
  char* data = nullptr;
  const long size = BIO_get_mem_data(bio.get(), &data);
  return {data, static_cast<size_t>(std::max(size, 0L))};
}

bool set_random_serial(X509* certificate) {
  std::array<unsigned char, kSerialBytes> bytes{};
  if (RAND_bytes(bytes.data(), bytes.size()) != 1) return false;
  bytes[0] = (bytes[0] & 0x7f) | 0x40;  // positive, and always as long
  std::unique_ptr<BIGNUM, decltype(&BN_free)> number(BN_bin2bn(bytes.data(), bytes.size(), nullptr),
                                                     BN_free);
  return number != nullptr &&
         BN_to_ASN1_INTEGER(number.get(), X509_get_serialNumber(certificate)) != nullptr;
}

bool add_extension(X509* certificate, X509* issuer, int nid, const char* value) {
  X509V3_CTX context{};
  X509V3_set_ctx_nodb(&context);
  X509V3_set_ctx(&context, issuer, certificate, nullptr, nullptr, 0);
  std::unique_ptr<X509_EXTENSION, decltype(&X509_EXTENSION_free)> extension(
      X509V3_EXT_conf_nid(nullptr, &context, nid, value), X509_EXTENSION_free);
  return extension != nullptr && X509_add_ext(certificate, extension.get(), -1) == 1;
}

// By structures, not by OpenSSL's configuration language: in that a name could say more than one.
bool add_names(X509* certificate, const Names& names) {
  GeneralNames all(GENERAL_NAMES_new(), GENERAL_NAMES_free);
  auto add = [&all](int type, ASN1_STRING* value) {
    GENERAL_NAME* name = value == nullptr ? nullptr : GENERAL_NAME_new();
    if (name == nullptr) {
      ASN1_STRING_free(value);
      return false;
    }
    GENERAL_NAME_set0_value(name, type, value);
    if (sk_GENERAL_NAME_push(all.get(), name) > 0) return true;
    GENERAL_NAME_free(name);
    return false;
  };
  auto text = [](const std::string& from) {
    ASN1_STRING* value = ASN1_IA5STRING_new();
    if (value != nullptr) ASN1_STRING_set(value, from.data(), static_cast<int>(from.size()));
    return value;
  };
  for (const std::string& host : names.hosts) {
    Address address = address_of(host);
    const bool added =
        address != nullptr ? add(GEN_IPADD, address.release()) : add(GEN_DNS, text(host));
    if (!added) return false;
  }
  if (!names.identity.empty() && !add(GEN_URI, text(names.identity))) return false;
  return X509_add1_ext_i2d(certificate, NID_subject_alt_name, all.get(), 0, X509V3_ADD_DEFAULT) ==
         1;
}

// All but extensions and the signature.
Result<Certificate> begin_certificate(const Key& key, const std::string& name, int days) {
  Certificate certificate(X509_new(), X509_free);
  if (certificate == nullptr || X509_set_version(certificate.get(), 2) != 1 ||
      !set_random_serial(certificate.get()) ||
      X509_gmtime_adj(X509_getm_notBefore(certificate.get()), -kClockSkew) == nullptr ||
      X509_time_adj_ex(X509_getm_notAfter(certificate.get()), days, 0, nullptr) == nullptr ||
      X509_set_pubkey(certificate.get(), key.get()) != 1 ||
      X509_NAME_add_entry_by_NID(X509_get_subject_name(certificate.get()), NID_commonName,
                                 MBSTRING_UTF8, reinterpret_cast<const unsigned char*>(name.data()),
                                 static_cast<int>(name.size()), -1, 0) != 1) {
    return failed("a certificate cannot be made");
  }
  return certificate;
}

std::string time_text(const ASN1_TIME* time) {
  tm parts{};
  if (ASN1_TIME_to_tm(time, &parts) != 1) return {};
  std::array<char, 32> text{};
  return {text.data(), strftime(text.data(), text.size(), "%Y-%m-%dT%H:%M:%SZ", &parts)};
}

std::string name_text(const X509_NAME* name) {
  Bio bio(BIO_new(BIO_s_mem()), BIO_free);
  X509_NAME_print_ex(bio.get(), name, 0, XN_FLAG_RFC2253 & ~ASN1_STRFLGS_ESC_MSB);
  return text_of(std::move(bio));
}

}  // namespace

bool is_host_name(const std::string& text) {
  if (address_of(text) != nullptr) return true;
  std::string_view rest = text;
  if (rest.size() > kHostLimit) return false;
  if (rest.starts_with("*.")) rest.remove_prefix(2);
  while (true) {
    const std::string_view label = rest.substr(0, rest.find('.'));
    const bool good = !label.empty() && label.size() <= kLabelLimit && label.front() != '-' &&
                      label.back() != '-' && std::all_of(label.begin(), label.end(), [](char c) {
                        return is_letter_or_digit(c) || c == '-';
                      });
    if (!good) return false;
    if (label.size() == rest.size()) return true;
    rest.remove_prefix(label.size() + 1);
  }
}

bool is_identity_name(const std::string& text) {
  return !text.empty() && text.size() <= kIdentityLimit && text.front() != '.' &&
         std::all_of(text.begin(), text.end(), [](char c) {
           return is_letter_or_digit(c) || std::strchr("._-+@", c) != nullptr;
         });
}

Result<Key> make_key() {
  Key key(EVP_EC_gen("P-256"), EVP_PKEY_free);
  if (key == nullptr) return failed("a key cannot be made");
  return key;
}

Result<Key> parse_key(const std::string& pem) {
  Bio bio(BIO_new_mem_buf(pem.data(), static_cast<int>(pem.size())), BIO_free);
  // A password is never asked for.
  Key key(PEM_read_bio_PrivateKey(
              bio.get(), nullptr, [](char*, int, int, void*) { return -1; }, nullptr),
          EVP_PKEY_free);
  ERR_clear_error();
  if (key == nullptr) {
    return Status(IMCTL_FAILED_PRECONDITION, "is no private key in PEM without a password");
  }
  return key;
}

Result<std::string> key_pem(const Key& key) {
  Bio bio(BIO_new(BIO_s_secmem()), BIO_free);
  if (PEM_write_bio_PKCS8PrivateKey(bio.get(), key.get(), nullptr, nullptr, 0, nullptr, nullptr) !=
      1) {
    return failed("a key cannot be written");
  }
  return text_of(std::move(bio));
}

Result<Certificate> make_authority(const Key& key, const std::string& name, int days) {
  Result<Certificate> made = begin_certificate(key, name, days);
  if (!made.ok()) return made;
  X509* certificate = made->get();
  if (X509_set_issuer_name(certificate, X509_get_subject_name(certificate)) != 1 ||
      !add_extension(certificate, certificate, NID_basic_constraints,
                     "critical,CA:TRUE,pathlen:0") ||
      !add_extension(certificate, certificate, NID_key_usage, "critical,keyCertSign,cRLSign") ||
      !add_extension(certificate, certificate, NID_subject_key_identifier, "hash") ||
      X509_sign(certificate, key.get(), EVP_sha256()) == 0) {
    return failed("the authority's certificate cannot be made");
  }
  return made;
}

Result<Certificate> issue(const Issuer& issuer, const Key& key, const std::string& name,
                          const Names& names, int days) {
  Result<Certificate> made = begin_certificate(key, name, days);
  if (!made.ok()) return made;
  X509* certificate = made->get();
  X509* by = issuer.certificate.get();
  const ASN1_TIME* end = X509_get0_notAfter(by);
  if (ASN1_TIME_compare(X509_get0_notAfter(certificate), end) > 0 &&
      X509_set1_notAfter(certificate, end) != 1) {
    return failed("a certificate cannot be made");
  }
  // Without a host's name it is no server's: else its subject's might pass for one.
  const char* uses = names.hosts.empty() ? "clientAuth" : "serverAuth,clientAuth";
  if (X509_set_issuer_name(certificate, X509_get_subject_name(by)) != 1 ||
      !add_extension(certificate, by, NID_basic_constraints, "critical,CA:FALSE") ||
      !add_extension(certificate, by, NID_key_usage, "critical,digitalSignature") ||
      !add_extension(certificate, by, NID_ext_key_usage, uses) ||
      !add_extension(certificate, by, NID_subject_key_identifier, "hash") ||
      !add_extension(certificate, by, NID_authority_key_identifier, "keyid:always") ||
      !add_names(certificate, names) ||
      X509_sign(certificate, issuer.key.get(), EVP_sha256()) == 0) {
    return failed("a certificate cannot be made");
  }
  return made;
}

Result<std::string> certificate_pem(const Certificate& certificate) {
  Bio bio(BIO_new(BIO_s_mem()), BIO_free);
  if (PEM_write_bio_X509(bio.get(), certificate.get()) != 1) {
    return failed("a certificate cannot be written");
  }
  return text_of(std::move(bio));
}

Result<std::vector<Certificate>> parse_certificates(const std::string& pem) {
  Bio bio(BIO_new_mem_buf(pem.data(), static_cast<int>(pem.size())), BIO_free);
  std::vector<Certificate> all;
  for (;;) {
    Certificate one(PEM_read_bio_X509(bio.get(), nullptr, nullptr, nullptr), X509_free);
    if (one == nullptr) break;
    all.push_back(std::move(one));
  }
  const bool damaged = ERR_GET_REASON(ERR_peek_last_error()) != PEM_R_NO_START_LINE;
  ERR_clear_error();
  if (damaged) return Status(IMCTL_FAILED_PRECONDITION, "a certificate in it is damaged");
  if (all.empty()) return Status(IMCTL_FAILED_PRECONDITION, "there is no certificate (PEM) in it");
  return all;
}

Names names_of(const Certificate& certificate) {
  Names names;
  GeneralNames all(static_cast<GENERAL_NAMES*>(
                       X509_get_ext_d2i(certificate.get(), NID_subject_alt_name, nullptr, nullptr)),
                   GENERAL_NAMES_free);
  for (int i = 0; i < sk_GENERAL_NAME_num(all.get()); ++i) {
    const GENERAL_NAME* name = sk_GENERAL_NAME_value(all.get(), i);
    if (name->type == GEN_DNS) names.hosts.push_back(text_of(name->d.dNSName));
    if (name->type == GEN_URI) {
      const std::string uri = text_of(name->d.uniformResourceIdentifier);
      if (uri.starts_with(kIdentityScheme)) names.identity = uri;
    }
    if (name->type != GEN_IPADD) continue;
    const std::string bytes = text_of(name->d.iPAddress);
    std::array<char, INET6_ADDRSTRLEN> text{};
    const int family = bytes.size() == 4 ? AF_INET : AF_INET6;
    if ((bytes.size() == 4 || bytes.size() == 16) &&
        inet_ntop(family, bytes.data(), text.data(), text.size()) != nullptr) {
      names.hosts.emplace_back(text.data());
    }
  }
  return names;
}

bool is_key_of(const Key& key, const Certificate& certificate) {
  const bool so = X509_check_private_key(certificate.get(), key.get()) == 1;
  ERR_clear_error();
  return so;
}

bool is_signed_by(const Certificate& certificate, const Certificate& issuer) {
  const bool so = X509_check_issued(issuer.get(), certificate.get()) == X509_V_OK &&
                  X509_verify(certificate.get(), X509_get0_pubkey(issuer.get())) == 1;
  ERR_clear_error();
  return so;
}

std::string begin_of(const Certificate& certificate) {
  return time_text(X509_get0_notBefore(certificate.get()));
}
std::string end_of(const Certificate& certificate) {
  return time_text(X509_get0_notAfter(certificate.get()));
}
bool holds_now(const Certificate& certificate) {
  return X509_cmp_current_time(X509_get0_notBefore(certificate.get())) < 0 &&
         X509_cmp_current_time(X509_get0_notAfter(certificate.get())) > 0;
}
std::string subject_of(const Certificate& certificate) {
  return name_text(X509_get_subject_name(certificate.get()));
}
std::string issuer_of(const Certificate& certificate) {
  return name_text(X509_get_issuer_name(certificate.get()));
}

std::vector<std::string> uses_of(const Certificate& certificate) {
  std::vector<std::string> uses;
  if (X509_check_ca(certificate.get()) == 1) uses.emplace_back("authority");
  const uint32_t extended = X509_get_extended_key_usage(certificate.get());
  if (uses.empty() && (extended & XKU_SSL_SERVER) != 0) uses.emplace_back("server");
  if (uses.empty() || uses[0] == "server") {
    if ((extended & XKU_SSL_CLIENT) != 0) uses.emplace_back("client");
  }
  return uses;
}

}  // namespace imctl::host::cli
