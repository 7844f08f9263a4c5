#include "core/module_keys.h"

#include <sodium.h>

#include <algorithm>

#include "core/base64.h"
#include "core/settings_text.h"

namespace imctl::host {
namespace {

constexpr std::string_view kPublicPrefix = "ed25519:";
constexpr std::string_view kSecretPrefix = "ed25519-secret:";

static_assert(std::tuple_size_v<PublicKey::Bytes> == crypto_sign_PUBLICKEYBYTES);
static_assert(std::tuple_size_v<SecretKey::Bytes> == crypto_sign_SECRETKEYBYTES);

}  // namespace

Status sodium_ready() {
  static const bool ok = sodium_init() >= 0;  // once; it is safe on any thread
  if (ok) return {};
  return {IMCTL_INTERNAL, "libsodium cannot be used here: it finds no source of random numbers"};
}

Result<PublicKey> PublicKey::parse(std::string_view text) {
  Status status = sodium_ready();
  if (!status.ok()) return status;
  text = trim(text);
  if (text.starts_with(kSecretPrefix)) {
    return Status(IMCTL_INVALID_ARGUMENT,
                  "it is a secret key, which belongs to whoever signs: give the public one that "
                  "`imctl module keygen` wrote beside it (.pub), and make a new pair if others "
                  "may have read this");
  }
  if (!text.starts_with(kPublicPrefix)) {
    return Status(IMCTL_INVALID_ARGUMENT, "it is no public key: one begins with " +
                                              std::string(kPublicPrefix) +
                                              " (`imctl module keygen` prints it)");
  }
  Bytes bytes{};
  if (!from_base64(text.substr(kPublicPrefix.size()), &bytes)) {
    return Status(IMCTL_INVALID_ARGUMENT, "'" + std::string(text) + "' is no public key: after " +
                                              std::string(kPublicPrefix) +
                                              " come 44 characters of base64");
  }
  if (crypto_core_ed25519_is_valid_point(bytes.data()) == 0) {
    return Status(IMCTL_INVALID_ARGUMENT,
                  "'" + std::string(text) + "' is no public key of Ed25519: was it mistyped?");
  }
  return PublicKey(bytes);
}

std::string PublicKey::text() const { return std::string(kPublicPrefix) + to_base64(bytes_); }

std::string PublicKey::id() const { return to_base64(bytes_).substr(0, kIdSize); }

Result<SecretKey> SecretKey::generate() {
  Status status = sodium_ready();
  if (!status.ok()) return status;
  SecretKey key;
  PublicKey::Bytes public_bytes{};
  crypto_sign_keypair(public_bytes.data(), key.bytes_.data());
  return key;
}

Result<SecretKey> SecretKey::parse(std::string_view text) {
  Status status = sodium_ready();
  if (!status.ok()) return status;
  text = trim(text);
  if (text.starts_with(kPublicPrefix)) {
    return Status(IMCTL_INVALID_ARGUMENT,
                  "it is a public key; to sign takes the secret one, the file without .pub");
  }
  std::array<unsigned char, crypto_sign_SEEDBYTES> seed{};
  if (!text.starts_with(kSecretPrefix) || !from_base64(text.substr(kSecretPrefix.size()), &seed)) {
    return Status(IMCTL_INVALID_ARGUMENT, "it is no secret key: `imctl module keygen` makes one");
  }
  SecretKey key;
  PublicKey::Bytes public_bytes{};
  crypto_sign_seed_keypair(public_bytes.data(), key.bytes_.data(), seed.data());
  sodium_memzero(seed.data(), seed.size());
  return key;
}

SecretKey::SecretKey(SecretKey&& other) noexcept : bytes_(other.bytes_) {
  sodium_memzero(other.bytes_.data(), other.bytes_.size());
}

SecretKey& SecretKey::operator=(SecretKey&& other) noexcept {
  std::swap(bytes_, other.bytes_);
  return *this;
}

SecretKey::~SecretKey() { sodium_memzero(bytes_.data(), bytes_.size()); }

std::string SecretKey::text() const {
  std::array<unsigned char, crypto_sign_SEEDBYTES> seed{};
  std::copy_n(bytes_.begin(), seed.size(), seed.begin());
  std::string text = std::string(kSecretPrefix) + to_base64(seed);
  sodium_memzero(seed.data(), seed.size());
  return text;
}

PublicKey SecretKey::public_key() const {
  PublicKey::Bytes bytes{};
  std::copy_n(bytes_.begin() + crypto_sign_SEEDBYTES, bytes.size(), bytes.begin());
  return PublicKey(bytes);
}

}  // namespace imctl::host
