// SCRAM credentials (RFC 5802, RFC 7677): the parts that a server keeps of a password, and whether
// a password fits them. From any thread; deriving takes time.
#ifndef IMCTL_USER_SCRAM_H
#define IMCTL_USER_SCRAM_H

#include <cstdint>
#include <string>
#include <string_view>

#include "imctl/status.h"

namespace imctl::user {

enum class ScramHash { kSha1, kSha256 };

struct ScramParts {
  uint32_t iterations = 0;
  std::string salt;
  std::string stored_key;
  std::string server_key;
};

constexpr uint32_t kMinScramIterations = 4096;
constexpr uint32_t kMaxScramIterations = 1'000'000;

// `password` is after SASLprep.
ScramParts make_scram(ScramHash hash, std::string_view password, std::string_view salt,
                      uint32_t iterations);
bool fits_scram(ScramHash hash, const ScramParts& parts, std::string_view password);

// Does the same amount of work and throws the result away.
void waste_scram(ScramHash hash, std::string_view password, uint32_t iterations);

// "iterations,salt,stored_key,server_key", the last three in base64. INVALID_ARGUMENT says what is
// wrong and repeats nothing of it.
std::string format_scram(const ScramParts& parts);
Result<ScramParts> parse_scram(ScramHash hash, std::string_view text);

}  // namespace imctl::user

#endif  // IMCTL_USER_SCRAM_H
