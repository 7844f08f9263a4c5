#include "token_text.h"

#include <sodium.h>

#include <algorithm>

namespace imctl::user {
namespace {

constexpr std::string_view kPrefix = "imctl_";
constexpr size_t kIdBytes = 12;
constexpr size_t kSecretBytes = 32;
constexpr size_t kHashBytes = 32;

bool is_hex(std::string_view text) {
  return std::all_of(text.begin(), text.end(),
                     [](char c) { return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f'); });
}

std::string random_hex(size_t bytes) {
  std::string raw(bytes, '\0');
  randombytes_buf(raw.data(), raw.size());
  std::string hex(2 * bytes + 1, '\0');
  sodium_bin2hex(hex.data(), hex.size(), reinterpret_cast<const unsigned char*>(raw.data()),
                 raw.size());
  sodium_memzero(raw.data(), raw.size());
  hex.pop_back();
  return hex;
}

}  // namespace

TokenText TokenText::make() { return {random_hex(kIdBytes), random_hex(kSecretBytes)}; }

std::optional<TokenText> TokenText::parse(std::string_view text) {
  if (text.size() != kPrefix.size() + 2 * kIdBytes + 1 + 2 * kSecretBytes ||
      text.substr(0, kPrefix.size()) != kPrefix) {
    return std::nullopt;
  }
  text.remove_prefix(kPrefix.size());
  const std::string_view id = text.substr(0, 2 * kIdBytes);
  const std::string_view secret = text.substr(2 * kIdBytes + 1);
  if (text[2 * kIdBytes] != '_' || !is_hex(id) || !is_hex(secret)) return std::nullopt;
  return TokenText{std::string(id), std::string(secret)};
}

std::string token_hash(std::string_view secret) {
  std::string hash(kHashBytes, '\0');
  crypto_generichash(reinterpret_cast<unsigned char*>(hash.data()), hash.size(),
                     reinterpret_cast<const unsigned char*>(secret.data()), secret.size(), nullptr,
                     0);
  return hash;
}

bool same_hash(std::string_view a, std::string_view b) {
  return a.size() == kHashBytes && b.size() == kHashBytes &&
         sodium_memcmp(a.data(), b.data(), kHashBytes) == 0;
}

bool is_token_id(std::string_view id) { return id.size() == 2 * kIdBytes && is_hex(id); }

}  // namespace imctl::user
