// What ids become in the indexes: 16 bytes, whatever their length. The hash has a key of the file's
// own, so that nobody can make ids that meet.
#ifndef IMCTL_STORAGE_SQLITE_KEY_H
#define IMCTL_STORAGE_SQLITE_KEY_H

#include <sodium.h>

#include <array>
#include <compare>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <string>
#include <string_view>
#include <utility>

namespace imctl::storage {

struct Key {
  std::array<char, 16> bytes{};

  std::string_view view() const { return {bytes.data(), bytes.size()}; }
  // All bits are as good as random.
  uint64_t word(size_t index) const {
    uint64_t value = 0;
    std::memcpy(&value, bytes.data() + index * sizeof(value), sizeof(value));
    return value;
  }
  auto operator<=>(const Key&) const = default;
};

struct KeyHash {
  size_t operator()(const Key& key) const { return key.word(0); }
};

class KeyMaker {
 public:
  static constexpr size_t kSecret = crypto_generichash_KEYBYTES;

  // `secret`: kSecret bytes.
  explicit KeyMaker(std::string secret) : secret_(std::move(secret)) { start(); }
  static std::string new_secret() {
    start();
    std::string secret(kSecret, '\0');
    randombytes_buf(secret.data(), secret.size());
    return secret;
  }

  Key operator()(std::string_view id) const {
    Key key;
    crypto_generichash(reinterpret_cast<unsigned char*>(key.bytes.data()), key.bytes.size(),
                       reinterpret_cast<const unsigned char*>(id.data()), id.size(),
                       reinterpret_cast<const unsigned char*>(secret_.data()), secret_.size());
    return key;
  }

 private:
  static void start() {
    if (sodium_init() < 0) std::abort();  // there is no randomness on this system
  }

  const std::string secret_;
};

}  // namespace imctl::storage

#endif  // IMCTL_STORAGE_SQLITE_KEY_H
