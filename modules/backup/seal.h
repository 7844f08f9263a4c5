// Encryption of a backup's blocks for a public key: each file has a key of its own, in a box that
// only the secret key opens, and each block is sealed with it under its number.
#ifndef IMCTL_BACKUP_SEAL_H
#define IMCTL_BACKUP_SEAL_H

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "imctl/backup/v1/format.pb.h"
#include "imctl/status.h"

namespace imctl::backup {

struct KeyPair {
  std::string public_key;  // 32 bytes each
  std::string secret_key;
};

KeyPair new_key_pair();
std::string to_hex(std::string_view bytes);
std::optional<std::string> from_hex(std::string_view text);
// The file that `backup keygen` gives, and back: the secret key of such a file, or of its 64 digits
// alone. INVALID_ARGUMENT if it is neither, without saying what it is.
std::string key_file(const KeyPair& pair);
Result<std::string> read_key(std::string_view text);

class Seal {
 public:
  // A new key for a file; `encryption` is what its header says of it.
  static Seal make(const std::string& public_key, v1::Encryption* encryption);
  // UNAUTHENTICATED: that secret key is not the one.
  static Result<Seal> open(const v1::Encryption& encryption, const std::string& secret_key);

  std::string close(std::string_view plain, uint64_t number) const;
  // Nothing: it is not what was closed.
  std::optional<std::string> open(std::string_view sealed, uint64_t number) const;

 private:
  explicit Seal(std::string key) : key_(std::move(key)) {}
  std::string key_;
};

}  // namespace imctl::backup

#endif  // IMCTL_BACKUP_SEAL_H
