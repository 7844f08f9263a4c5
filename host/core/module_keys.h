// Keys of Ed25519 as text: what signatures of module files are made with and verified by.
//
// Every function may be called on any thread. INVALID_ARGUMENT: the text is no key.
#ifndef IMCTL_HOST_CORE_MODULE_KEYS_H
#define IMCTL_HOST_CORE_MODULE_KEYS_H

#include <array>
#include <string>
#include <string_view>

#include "imctl/status.h"

namespace imctl::host {

// Before anything else of libsodium. INTERNAL: it cannot be used here.
Status sodium_ready();

// Whose signatures count.
class PublicKey {
 public:
  using Bytes = std::array<unsigned char, 32>;
  static constexpr size_t kIdSize = 12;

  // "ed25519:BASE64", with blanks or a line's end around it. An error does not show text that could
  // be a secret.
  static Result<PublicKey> parse(std::string_view text);
  explicit PublicKey(const Bytes& bytes) : bytes_(bytes) {}

  std::string text() const;
  // The first 12 characters of its base64, so that one sees whose a signature is. Only a hint:
  // what counts is whether the signature fits a key that is trusted.
  std::string id() const;
  const Bytes& bytes() const { return bytes_; }

 private:
  Bytes bytes_;
};

// What `imctl module sign` signs with; the host has none. Wiped when it goes.
class SecretKey {
 public:
  using Bytes = std::array<unsigned char, 64>;  // as libsodium has it

  static Result<SecretKey> generate();
  // "ed25519-secret:BASE64". No error shows any of it.
  static Result<SecretKey> parse(std::string_view text);
  SecretKey(SecretKey&& other) noexcept;
  SecretKey& operator=(SecretKey&& other) noexcept;
  ~SecretKey();

  // Whoever asks for it wipes it.
  std::string text() const;
  PublicKey public_key() const;
  const Bytes& bytes() const { return bytes_; }

 private:
  SecretKey() = default;
  Bytes bytes_{};
};

}  // namespace imctl::host

#endif  // IMCTL_HOST_CORE_MODULE_KEYS_H
