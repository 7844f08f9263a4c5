#include "seal.h"

#include <sodium.h>

#include <utility>

namespace imctl::backup {
namespace {

constexpr size_t kKey = crypto_aead_xchacha20poly1305_ietf_KEYBYTES;
constexpr size_t kTag = crypto_aead_xchacha20poly1305_ietf_ABYTES;

unsigned char* bytes(std::string& text) { return reinterpret_cast<unsigned char*>(text.data()); }
const unsigned char* bytes(std::string_view text) {
  return reinterpret_cast<const unsigned char*>(text.data());
}

// A key is used for one file, so the block's number is a nonce that is used once.
std::string nonce(uint64_t number) {
  std::string nonce(crypto_aead_xchacha20poly1305_ietf_NPUBBYTES, '\0');
  for (size_t i = 0; i < sizeof(number); ++i) nonce[i] = static_cast<char>(number >> (8 * i));
  return nonce;
}

}  // namespace

KeyPair new_key_pair() {
  KeyPair pair{std::string(crypto_box_PUBLICKEYBYTES, '\0'),
               std::string(crypto_box_SECRETKEYBYTES, '\0')};
  crypto_box_keypair(bytes(pair.public_key), bytes(pair.secret_key));
  return pair;
}

std::string to_hex(std::string_view raw) {
  std::string text(raw.size() * 2 + 1, '\0');
  sodium_bin2hex(text.data(), text.size(), bytes(raw), raw.size());
  text.pop_back();
  return text;
}

std::optional<std::string> from_hex(std::string_view text) {
  std::string raw(text.size() / 2, '\0');
  size_t size = 0;
  if (text.size() % 2 != 0 || sodium_hex2bin(bytes(raw), raw.size(), text.data(), text.size(),
                                             nullptr, &size, nullptr) != 0) {
    return std::nullopt;
  }
  return raw;
}

std::string key_file(const KeyPair& pair) {
  return "# The secret key of imctl's backups: whoever has it reads them, without it nobody does.\n"
         "# The public key, for the settings: backup.public_key = " +
         to_hex(pair.public_key) + "\n" + to_hex(pair.secret_key) + "\n";
}

Result<std::string> read_key(std::string_view text) {
  size_t at = 0;
  while (at < text.size()) {
    size_t end = text.find('\n', at);
    if (end == std::string_view::npos) end = text.size();
    std::string_view line = text.substr(at, end - at);
    at = end + 1;
    while (!line.empty() && (line.back() == '\r' || line.back() == ' ')) line.remove_suffix(1);
    if (line.empty() || line.front() == '#') continue;
    std::optional<std::string> key = from_hex(line);
    if (key && key->size() == crypto_box_SECRETKEYBYTES) return std::move(*key);
    break;
  }
  return Status(IMCTL_INVALID_ARGUMENT,
                "the key is none: give the file that `imctl backup keygen` made, --key=@FILE");
}

Seal Seal::make(const std::string& public_key, v1::Encryption* encryption) {
  std::string key(kKey, '\0');
  randombytes_buf(key.data(), key.size());
  std::string sealed(key.size() + crypto_box_SEALBYTES, '\0');
  crypto_box_seal(bytes(sealed), bytes(std::string_view(key)), key.size(),
                  bytes(std::string_view(public_key)));
  encryption->set_public_key(public_key);
  encryption->set_sealed_key(sealed);
  return Seal(std::move(key));
}

Result<Seal> Seal::open(const v1::Encryption& encryption, const std::string& secret_key) {
  const std::string& sealed = encryption.sealed_key();
  std::string key(kKey, '\0');
  if (encryption.public_key().size() != crypto_box_PUBLICKEYBYTES ||
      sealed.size() != key.size() + crypto_box_SEALBYTES ||
      crypto_box_seal_open(bytes(key), bytes(std::string_view(sealed)), sealed.size(),
                           bytes(std::string_view(encryption.public_key())),
                           bytes(std::string_view(secret_key))) != 0) {
    return Status(IMCTL_UNAUTHENTICATED, "the backup is encrypted for the public key " +
                                             to_hex(encryption.public_key()) +
                                             ", and the key that was given is not its "
                                             "secret key");
  }
  return Seal(std::move(key));
}

std::string Seal::close(std::string_view plain, uint64_t number) const {
  std::string sealed(plain.size() + kTag, '\0');
  const std::string once = nonce(number);
  crypto_aead_xchacha20poly1305_ietf_encrypt(bytes(sealed), nullptr, bytes(plain), plain.size(),
                                             nullptr, 0, nullptr, bytes(std::string_view(once)),
                                             bytes(std::string_view(key_)));
  return sealed;
}

std::optional<std::string> Seal::open(std::string_view sealed, uint64_t number) const {
  if (sealed.size() < kTag) return std::nullopt;
  std::string plain(sealed.size() - kTag, '\0');
  const std::string once = nonce(number);
  if (crypto_aead_xchacha20poly1305_ietf_decrypt(
          bytes(plain), nullptr, nullptr, bytes(sealed), sealed.size(), nullptr, 0,
          bytes(std::string_view(once)), bytes(std::string_view(key_))) != 0) {
    return std::nullopt;
  }
  return plain;
}

}  // namespace imctl::backup
