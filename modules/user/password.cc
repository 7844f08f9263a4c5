#include "password.h"

#include <sodium.h>
#include <stringprep.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <memory>

#include "text.h"

namespace imctl::user {
namespace {

constexpr size_t kSalt = 16;
// Of an imported hash; libsodium computes it in KiB.
constexpr uint64_t kMostImportedMemory = uint64_t{1024} * 1024;
constexpr uint64_t kMostImportedTime = 20;

struct Cost {
  uint64_t kibibytes = 0;
  uint64_t passes = 0;
};

// Of "$argon2id$v=19$m=65536,t=2,p=1$SALT$HASH"; nothing if it is none.
std::optional<Cost> cost_of(const std::string& hash) {
  unsigned memory = 0;
  unsigned time = 0;
  int at = 0;
  if (std::sscanf(hash.c_str(), "$argon2id$v=19$m=%9u,t=%9u,p=1$%n", &memory, &time, &at) != 2 ||
      at == 0) {
    return std::nullopt;
  }
  // The salt and the hash, in base64 without padding.
  const std::string_view rest = std::string_view(hash).substr(static_cast<size_t>(at));
  const size_t dollar = rest.find('$');
  auto base64 = [](std::string_view text) {
    return text.size() >= 11 && std::all_of(text.begin(), text.end(), [](char c) {
             return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
                    c == '+' || c == '/';
           });
  };
  if (dollar == std::string_view::npos || !base64(rest.substr(0, dollar)) ||
      !base64(rest.substr(dollar + 1)) || memory == 0 || time == 0) {
    return std::nullopt;
  }
  return Cost{memory, time};
}

Status no_memory() {
  return {IMCTL_RESOURCE_EXHAUSTED,
          "there is no memory for hashing the password: lower argon2_memory or pool_threads in "
          "section [user]"};
}

std::string new_salt() {
  std::string salt(kSalt, '\0');
  randombytes_buf(salt.data(), salt.size());
  return salt;
}

size_t characters(std::string_view text) {
  return static_cast<size_t>(std::count_if(text.begin(), text.end(), [](char c) {
    return (static_cast<unsigned char>(c) & 0xC0U) != 0x80;
  }));
}

Result<std::string> hash_argon2id(std::string_view prepared, const PasswordSettings& settings) {
  char out[crypto_pwhash_STRBYTES];
  if (crypto_pwhash_str_alg(out, prepared.data(), prepared.size(), settings.argon2_time,
                            settings.argon2_memory, crypto_pwhash_ALG_ARGON2ID13) != 0) {
    return no_memory();
  }
  return std::string(out);
}

bool fits_argon2id(std::string hash, std::string_view prepared) {
  hash.resize(std::max<size_t>(hash.size(), crypto_pwhash_STRBYTES));  // zeros behind it
  return crypto_pwhash_str_verify(hash.c_str(), prepared.data(), prepared.size()) == 0;
}

// Of SCRAM too little work is made up for, so that nobody can tell what is kept.
bool fits_some_scram(std::string_view prepared, const Credentials& kept,
                     const PasswordSettings& settings) {
  bool fits = false;
  uint32_t done = 0;
  if (kept.argon2id.empty()) {
    const ScramHash hash = kept.scram_sha_256 ? ScramHash::kSha256 : ScramHash::kSha1;
    const auto& parts = kept.scram_sha_256 ? kept.scram_sha_256 : kept.scram_sha_1;
    if (parts) {
      fits = fits_scram(hash, *parts, prepared);
      done = parts->iterations;
    }
  }
  if (done < settings.scram_iterations) {
    waste_scram(ScramHash::kSha256, prepared, settings.scram_iterations - done);
  }
  return fits;
}

bool is_outdated(const Credentials& kept, const PasswordSettings& settings) {
  auto weak = [&](const std::optional<ScramParts>& parts) {
    return !parts || parts->iterations < settings.scram_iterations;
  };
  if (settings.scram_sha_256 && weak(kept.scram_sha_256)) return true;
  if (settings.scram_sha_1 && weak(kept.scram_sha_1)) return true;
  if (!settings.argon2id) return false;
  if (kept.argon2id.empty()) return true;
  std::string hash = kept.argon2id;
  hash.resize(std::max<size_t>(hash.size(), crypto_pwhash_STRBYTES));
  if (crypto_pwhash_str_needs_rehash(hash.c_str(), settings.argon2_time, settings.argon2_memory) ==
      0) {
    return false;
  }
  // Only what rose: lower settings are for new passwords.
  const std::optional<Cost> cost = cost_of(kept.argon2id);
  return !cost || cost->kibibytes < settings.argon2_memory / 1024 ||
         cost->passes < settings.argon2_time;
}

}  // namespace

std::vector<std::string> Credentials::names() const {
  std::vector<std::string> all;
  if (!argon2id.empty()) all.emplace_back("argon2id");
  if (scram_sha_256) all.emplace_back("scram-sha-256");
  if (scram_sha_1) all.emplace_back("scram-sha-1");
  return all;
}

Result<std::string> prepare_password(std::string_view password) {
  auto bad = [](const std::string& why) {
    return Status(IMCTL_INVALID_ARGUMENT, "password: " + why);
  };
  if (password.size() > kMaxPassword) {
    return bad("it is too long: up to " + std::to_string(kMaxPassword) + " bytes");
  }
  if (password.find('\0') != std::string_view::npos)
    return bad("it may not have control characters");
  char* out = nullptr;
  // A password that was typed may have characters that are newer than the profile.
  int code = stringprep_profile(std::string(password).c_str(), &out, "SASLprep",
                                static_cast<Stringprep_profile_flags>(0));
  std::unique_ptr<char, void (*)(void*)> held(out, std::free);
  if (code != STRINGPREP_OK) return bad("it may not have control characters, and must be UTF-8");
  std::string prepared(out);
  sodium_memzero(out, prepared.size());
  return prepared;
}

Result<std::string> prepare_new_password(std::string_view password,
                                         const PasswordSettings& settings) {
  Result<std::string> prepared = prepare_password(password);
  if (!prepared.ok()) return prepared;
  if (characters(*prepared) < settings.min_length) {
    return Status(IMCTL_INVALID_ARGUMENT, "password: it is too short: at least " +
                                              std::to_string(settings.min_length) +
                                              " characters (password_min in section [user])");
  }
  return prepared;
}

Result<Credentials> make_credentials(std::string_view prepared, const PasswordSettings& settings) {
  Credentials made;
  if (settings.argon2id) {
    Result<std::string> hash = hash_argon2id(prepared, settings);
    if (!hash.ok()) return hash.status();
    made.argon2id = std::move(*hash);
  }
  if (settings.scram_sha_256) {
    made.scram_sha_256 =
        make_scram(ScramHash::kSha256, prepared, new_salt(), settings.scram_iterations);
  }
  if (settings.scram_sha_1) {
    made.scram_sha_1 =
        make_scram(ScramHash::kSha1, prepared, new_salt(), settings.scram_iterations);
  }
  return made;
}

Fit check_password(std::string_view prepared, const Credentials& kept, const std::string& dummy,
                   const PasswordSettings& settings) {
  const bool argon2id = fits_argon2id(kept.argon2id.empty() ? dummy : kept.argon2id, prepared);
  const bool scram = fits_some_scram(prepared, kept, settings);
  const bool fits = kept.argon2id.empty() ? scram : argon2id;
  if (!fits) return Fit::kNo;
  return is_outdated(kept, settings) ? Fit::kOutdated : Fit::kYes;
}

Result<std::string> make_dummy(const PasswordSettings& settings) {
  std::string nobodys(32, '\0');
  randombytes_buf(nobodys.data(), nobodys.size());
  return hash_argon2id(nobodys, settings);
}

Status check_argon2id(std::string_view hash) {
  auto bad = [](const char* why) { return Status(IMCTL_INVALID_ARGUMENT, why); };
  if (hash.size() >= crypto_pwhash_STRBYTES) return bad("it is too long for an argon2id hash");
  const std::optional<Cost> cost = cost_of(std::string(hash));
  if (!cost) return bad("it is no argon2id hash like $argon2id$v=19$m=65536,t=2,p=1$SALT$HASH");
  if (cost->kibibytes > kMostImportedMemory || cost->passes > kMostImportedTime) {
    return bad("the argon2id hash takes more than m=1048576 or t=20: set the password anew");
  }
  return {};
}

}  // namespace imctl::user
