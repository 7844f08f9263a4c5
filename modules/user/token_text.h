// Tokens as text: imctl_ID_SECRET, both in hex. The id names the token; of the secret, 256 bits
// from the system's random numbers, only a hash is kept. From any thread.
#ifndef IMCTL_USER_TOKEN_TEXT_H
#define IMCTL_USER_TOKEN_TEXT_H

#include <optional>
#include <string>
#include <string_view>

namespace imctl::user {

struct TokenText {
  std::string id;
  std::string secret;

  static TokenText make();
  // Nothing if it is not of that form.
  static std::optional<TokenText> parse(std::string_view text);
  std::string text() const { return "imctl_" + id + "_" + secret; }
};

// What is kept of a secret: BLAKE2b of 256 bits. It has too many bits to be guessed, so no slow
// hash.
std::string token_hash(std::string_view secret);
// In a time that tells nothing about where they differ.
bool same_hash(std::string_view a, std::string_view b);

bool is_token_id(std::string_view id);

}  // namespace imctl::user

#endif  // IMCTL_USER_TOKEN_TEXT_H
