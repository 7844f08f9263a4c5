// Passwords: what is kept of one, and whether one fits. From any thread, but hashing takes its time
// and memory: on a thread of the module's pool.
#ifndef IMCTL_USER_PASSWORD_H
#define IMCTL_USER_PASSWORD_H

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "imctl/status.h"
#include "scram.h"

namespace imctl::user {

constexpr size_t kMaxPassword = 1024;

struct PasswordSettings {
  bool argon2id = true;
  bool scram_sha_256 = true;
  bool scram_sha_1 = false;
  size_t argon2_memory = size_t{64} << 20U;
  uint32_t argon2_time = 2;
  uint32_t scram_iterations = 10000;
  uint32_t min_length = 8;
};

// What is kept of a password. Any of them may be missing.
struct Credentials {
  std::string argon2id;  // as libsodium writes it
  std::optional<ScramParts> scram_sha_256;
  std::optional<ScramParts> scram_sha_1;

  bool empty() const { return argon2id.empty() && !scram_sha_256 && !scram_sha_1; }
  // "argon2id", "scram-sha-256", ...
  std::vector<std::string> names() const;
};

// The form in which a password is hashed: after SASLprep. INVALID_ARGUMENT if it is too long or has
// control characters; nothing of it is repeated.
Result<std::string> prepare_password(std::string_view password);
// The same of a new one, which must be long enough.
Result<std::string> prepare_new_password(std::string_view password,
                                         const PasswordSettings& settings);

// [takes long] `prepared` is of prepare_password.
Result<Credentials> make_credentials(std::string_view prepared, const PasswordSettings& settings);

enum class Fit {
  kNo,
  kYes,
  kOutdated,  // yes, and make_credentials would keep more or better
};

// [takes long] Whether a password fits what is kept. Takes as long whatever is kept, or nothing is:
// `dummy` is an argon2id hash of the present settings, to try where there is none.
Fit check_password(std::string_view prepared, const Credentials& kept, const std::string& dummy,
                   const PasswordSettings& settings);

// [takes long] An argon2id hash of nobody's password.
Result<std::string> make_dummy(const PasswordSettings& settings);

// INVALID_ARGUMENT if it is no argon2id hash, or one that takes more than a login may.
Status check_argon2id(std::string_view hash);

}  // namespace imctl::user

#endif  // IMCTL_USER_PASSWORD_H
