// What ids become in the tables: a uuid, whatever their length. The hash has a key of the
// database's own, so that nobody can make ids that meet.
#ifndef IMCTL_STORAGE_POSTGRESQL_KEY_H
#define IMCTL_STORAGE_POSTGRESQL_KEY_H

#include <sodium.h>

#include <array>
#include <compare>
#include <cstring>
#include <string>
#include <string_view>

namespace imctl::storage {

struct Key {
  std::array<char, 16> bytes{};

  std::string_view view() const { return {bytes.data(), bytes.size()}; }
  static Key from(std::string_view stored) {
    Key key;
    stored.copy(key.bytes.data(), key.bytes.size());
    return key;
  }
  // As the server sorts them.
  std::strong_ordering operator<=>(const Key& other) const {
    return std::memcmp(bytes.data(), other.bytes.data(), bytes.size()) <=> 0;
  }
  bool operator==(const Key& other) const = default;
};

struct KeyHash {
  size_t operator()(const Key& key) const {
    size_t word = 0;
    std::memcpy(&word, key.bytes.data(), sizeof(word));
    return word;
  }
};

inline std::string new_secret() {
  std::string secret(crypto_generichash_KEYBYTES, '\0');
  randombytes_buf(secret.data(), secret.size());
  return secret;
}

// `secret`: of new_secret().
inline Key make_key(std::string_view secret, std::string_view id) {
  Key key;
  crypto_generichash(reinterpret_cast<unsigned char*>(key.bytes.data()), key.bytes.size(),
                     reinterpret_cast<const unsigned char*>(id.data()), id.size(),
                     reinterpret_cast<const unsigned char*>(secret.data()), secret.size());
  return key;
}

}  // namespace imctl::storage

#endif  // IMCTL_STORAGE_POSTGRESQL_KEY_H
