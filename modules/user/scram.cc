#include "scram.h"

#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <sodium.h>

#include <charconv>
#include <stdexcept>
#include <vector>

namespace imctl::user {
namespace {

constexpr size_t kMaxSalt = 256;

const EVP_MD* digest(ScramHash hash) {
  return hash == ScramHash::kSha1 ? EVP_sha1() : EVP_sha256();
}

size_t size_of(ScramHash hash) { return hash == ScramHash::kSha1 ? 20 : 32; }

unsigned char* bytes(std::string& text) { return reinterpret_cast<unsigned char*>(text.data()); }
const unsigned char* bytes(std::string_view text) {
  return reinterpret_cast<const unsigned char*>(text.data());
}

std::string salted(ScramHash hash, std::string_view password, std::string_view salt,
                   uint32_t iterations) {
  std::string out(size_of(hash), '\0');
  if (PKCS5_PBKDF2_HMAC(password.data(), static_cast<int>(password.size()), bytes(salt),
                        static_cast<int>(salt.size()), static_cast<int>(iterations), digest(hash),
                        static_cast<int>(out.size()), bytes(out)) != 1) {
    throw std::runtime_error("PBKDF2 failed");
  }
  return out;
}

std::string hmac(ScramHash hash, std::string_view key, std::string_view text) {
  std::string out(size_of(hash), '\0');
  unsigned size = 0;
  if (HMAC(digest(hash), key.data(), static_cast<int>(key.size()), bytes(text), text.size(),
           bytes(out), &size) == nullptr) {
    throw std::runtime_error("HMAC failed");
  }
  return out;
}

std::string hashed(ScramHash hash, std::string_view text) {
  std::string out(size_of(hash), '\0');
  unsigned size = 0;
  if (EVP_Digest(text.data(), text.size(), bytes(out), &size, digest(hash), nullptr) != 1) {
    throw std::runtime_error("the digest failed");
  }
  return out;
}

bool from_base64(std::string_view text, std::string* out) {
  out->resize(text.size());
  size_t size = 0;
  const char* end = nullptr;
  if (sodium_base642bin(bytes(*out), out->size(), text.data(), text.size(), nullptr, &size, &end,
                        sodium_base64_VARIANT_ORIGINAL) != 0 ||
      end != text.data() + text.size()) {
    return false;
  }
  out->resize(size);
  return true;
}

}  // namespace

ScramParts make_scram(ScramHash hash, std::string_view password, std::string_view salt,
                      uint32_t iterations) {
  std::string key = salted(hash, password, salt, iterations);
  std::string client_key = hmac(hash, key, "Client Key");
  ScramParts parts{iterations, std::string(salt), hashed(hash, client_key),
                   hmac(hash, key, "Server Key")};
  sodium_memzero(key.data(), key.size());
  sodium_memzero(client_key.data(), client_key.size());
  return parts;
}

bool fits_scram(ScramHash hash, const ScramParts& parts, std::string_view password) {
  const ScramParts mine = make_scram(hash, password, parts.salt, parts.iterations);
  return mine.stored_key.size() == parts.stored_key.size() &&
         sodium_memcmp(mine.stored_key.data(), parts.stored_key.data(), mine.stored_key.size()) ==
             0;
}

void waste_scram(ScramHash hash, std::string_view password, uint32_t iterations) {
  (void)make_scram(hash, password, "0123456789abcdef", iterations);
}

std::string format_scram(const ScramParts& parts) {
  std::string text = std::to_string(parts.iterations);
  for (const std::string* part : {&parts.salt, &parts.stored_key, &parts.server_key}) {
    constexpr int kVariant = sodium_base64_VARIANT_ORIGINAL;
    std::string base64(sodium_base64_encoded_len(part->size(), kVariant), '\0');
    sodium_bin2base64(base64.data(), base64.size(),
                      reinterpret_cast<const unsigned char*>(part->data()), part->size(), kVariant);
    base64.pop_back();  // the NUL
    text += "," + base64;
  }
  return text;
}

Result<ScramParts> parse_scram(ScramHash hash, std::string_view text) {
  std::vector<std::string_view> fields;
  for (;;) {
    const size_t comma = text.find(',');
    fields.push_back(text.substr(0, comma));
    if (comma == std::string_view::npos) break;
    text.remove_prefix(comma + 1);
  }
  auto bad = [](const char* why) { return Status(IMCTL_INVALID_ARGUMENT, why); };
  if (fields.size() != 4) {
    return bad(
        "SCRAM credentials are iterations,salt,stored_key,server_key, the last three in base64");
  }
  ScramParts parts;
  auto [end, error] =
      std::from_chars(fields[0].data(), fields[0].data() + fields[0].size(), parts.iterations);
  // Less than what is made here, as other servers' may be, but not so many that a login takes for
  // ever.
  if (error != std::errc() || end != fields[0].data() + fields[0].size() || parts.iterations < 1 ||
      parts.iterations > kMaxScramIterations) {
    return bad("the iterations of SCRAM credentials are a number from 1 to 1000000");
  }
  if (!from_base64(fields[1], &parts.salt) || parts.salt.empty() || parts.salt.size() > kMaxSalt) {
    return bad("the salt of SCRAM credentials is base64 of 1 to 256 bytes");
  }
  if (!from_base64(fields[2], &parts.stored_key) || !from_base64(fields[3], &parts.server_key) ||
      parts.stored_key.size() != size_of(hash) || parts.server_key.size() != size_of(hash)) {
    return bad(hash == ScramHash::kSha1 ? "the keys of SCRAM-SHA-1 are base64 of 20 bytes"
                                        : "the keys of SCRAM-SHA-256 are base64 of 32 bytes");
  }
  return parts;
}

}  // namespace imctl::user
