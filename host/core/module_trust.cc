#include "core/module_trust.h"

#include <fcntl.h>
#include <sodium.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <functional>

#include "core/base64.h"
#include "core/settings_text.h"
#include "core/trusted_path.h"

namespace imctl::host {
namespace {

constexpr std::string_view kSignatureTag = "imctl-signature-1";
constexpr const char* kSignatureSuffix = ".sig";
constexpr size_t kMaxSignatureFile = 4096;
constexpr off_t kMaxModule = off_t{1} << 30;  // something else is meant, or it never ends

using SignatureBytes = std::array<unsigned char, crypto_sign_BYTES>;

Status refused(const std::string& message) { return {IMCTL_FAILED_PRECONDITION, message}; }

// ---- signatures

struct Signature {
  std::string key_id;
  SignatureBytes bytes{};
};

std::optional<Signature> parse_signature(std::string_view text) {
  if (text.size() > kMaxSignatureFile) return std::nullopt;
  std::vector<std::string_view> words;
  text = trim(text);
  for (size_t at = 0; at <= text.size();) {
    size_t end = std::min(text.find(' ', at), text.size());
    words.push_back(text.substr(at, end - at));
    at = end + 1;
  }
  Signature signature;
  std::array<unsigned char, PublicKey::kIdSize / 4 * 3> id{};
  if (words.size() != 3 || words[0] != kSignatureTag || !from_base64(words[1], &id) ||
      !from_base64(words[2], &signature.bytes)) {
    return std::nullopt;
  }
  signature.key_id = words[1];
  return signature;
}

using Take = std::function<Status(const unsigned char* data, size_t size)>;

// Reads a file from its start to its end, once.
Status read_through(int fd, const std::string& path, const Take& take) {
  std::vector<unsigned char> buffer(size_t{256} << 10);
  struct stat info {};
  if (fstat(fd, &info) != 0) return cannot(path, errno);
  off_t at = 0;
  while (true) {
    // It may grow meanwhile.
    if (std::max(at, info.st_size) > kMaxModule) {
      return refused(path + ": it has more than 1 GiB, so it is no module");
    }
    ssize_t n = pread(fd, buffer.data(), buffer.size(), at);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return cannot(path, errno);
    if (n == 0) break;
    at += n;
    Status status = take(buffer.data(), static_cast<size_t>(n));
    if (!status.ok()) return status;
  }
  if (at == 0) return refused(path + ": it is empty: was copying it interrupted?");
  return {};
}

Status hash_file(int fd, const std::string& path, crypto_sign_state* hash) {
  crypto_sign_init(hash);
  return read_through(fd, path, [hash](const unsigned char* data, size_t size) {
    crypto_sign_update(hash, data, size);
    return Status();
  });
}

// The text of FILE.so.sig, seen from the folder `at`. Nothing: there is none.
Result<std::optional<std::string>> read_signature_file(int at, const std::string& name,
                                                       const std::string& path) {
  // Not held up by a pipe that somebody has put there.
  Fd fd(openat(at, name.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY));
  if (!fd.ok() && errno == ENOENT) return std::optional<std::string>();
  struct stat info {};
  if (!fd.ok() || fstat(fd.get(), &info) != 0) return cannot(path, errno);
  std::string text(kMaxSignatureFile + 1, '\0');
  ssize_t n = S_ISREG(info.st_mode) ? pread(fd.get(), text.data(), text.size(), 0) : 0;
  if (n < 0) return cannot(path, errno);
  text.resize(static_cast<size_t>(n));
  return std::optional<std::string>(std::move(text));
}

// `line`: the text of FILE.so.sig, if there is one.
Result<SignatureCheck> check_bytes(int file, const std::string& path,
                                   const std::optional<std::string>& line,
                                   const std::vector<PublicKey>& keys) {
  SignatureCheck check;
  std::string beside = path + kSignatureSuffix;
  if (!line) {
    check.problem = path + ": it is not signed (there is no " + beside +
                    "): get its signature from whoever made it, or sign it with `imctl module "
                    "sign`";
    return check;
  }
  std::optional<Signature> signature = parse_signature(*line);
  if (!signature) {
    check.verdict = Verdict::kMalformed;
    check.problem = beside + ": not a signature that this program knows (one line: " +
                    std::string(kSignatureTag) + " KEYID BASE64): get it again, or sign " + path +
                    " again";
    return check;
  }
  check.key_id = signature->key_id;
  std::vector<PublicKey> candidates;
  std::copy_if(keys.begin(), keys.end(), std::back_inserter(candidates),
               [&](const PublicKey& key) { return key.id() == signature->key_id; });
  if (candidates.empty()) {
    std::vector<std::string> ids;
    ids.reserve(keys.size());
    for (const PublicKey& key : keys) ids.push_back(key.id());
    check.verdict = Verdict::kUnknownKey;
    check.problem = path + ": it is signed with the key " + signature->key_id +
                    ", which is none of those that are trusted here (" + join(ids, ", ") +
                    "): if you know whose it is, add the public key to host.module_keys";
    return check;
  }
  crypto_sign_state hash;
  Status status = hash_file(file, path, &hash);
  if (!status.ok()) return status;
  for (const PublicKey& key : candidates) {
    crypto_sign_state state = hash;  // verifying uses it up
    if (crypto_sign_final_verify(&state, signature->bytes.data(), key.bytes().data()) == 0) {
      check.verdict = Verdict::kGood;
      check.key = key;
      return check;
    }
  }
  check.verdict = Verdict::kBad;
  check.problem = path + ": it is not what was signed with the key " + signature->key_id +
                  ": it or " + beside +
                  " was changed or damaged, or one is older than the other; get both again";
  return check;
}

// ---- a copy that nobody can change

// MFD_NOEXEC_SEAL: only says that it is no program, which systems with vm.memfd_noexec ask for. The
// dynamic linker may map it all the same. Before Linux 6.3 there is no such flag.
constexpr unsigned kNoExecSeal = 8;

Result<Fd> sealed_copy(int from, const std::string& path) {
  std::string name = path.substr(path.rfind('/') + 1).substr(0, 200);
  Fd copy(memfd_create(name.c_str(), MFD_CLOEXEC | MFD_ALLOW_SEALING | kNoExecSeal));
  if (!copy.ok() && errno == EINVAL) {
    copy = Fd(memfd_create(name.c_str(), MFD_CLOEXEC | MFD_ALLOW_SEALING));
  }
  if (!copy.ok()) {
    return refused(path + ": no copy of it can be made in memory: " + std::strerror(errno) +
                   " (memfd_create; a sandbox may forbid it)");
  }
  Status status = read_through(from, path, [&](const unsigned char* data, size_t size) {
    while (size > 0) {
      ssize_t n = write(copy.get(), data, size);
      if (n < 0 && errno == EINTR) continue;
      if (n < 0) return refused(path + ": no memory for a copy of it: " + std::strerror(errno));
      data += n;
      size -= static_cast<size_t>(n);
    }
    return Status();
  });
  if (!status.ok()) return status;
  // Who copies it on is likely to keep the mode, which otherwise lets everybody write.
  if (fchmod(copy.get(), S_IRUSR) != 0 ||
      fcntl(copy.get(), F_ADD_SEALS, F_SEAL_WRITE | F_SEAL_GROW | F_SEAL_SHRINK | F_SEAL_SEAL) !=
          0) {
    return refused(path + ": its copy in memory cannot be sealed: " + std::strerror(errno));
  }
  return copy;
}

// As it is, whoever it belongs to.
Result<Fd> open_any(const std::string& path) {
  // Not held up by a pipe.
  Fd fd(open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY));
  struct stat info {};
  if (!fd.ok() || fstat(fd.get(), &info) != 0) return cannot(path, errno);
  if (!S_ISREG(info.st_mode)) return refused(path + ": not a regular file");
  return fd;
}

}  // namespace

Result<std::string> signature_path(const std::string& path) {
  std::error_code error;
  std::string real = std::filesystem::canonical(path, error).string();
  if (error) return cannot(path, error.value());
  return real + kSignatureSuffix;
}

Result<std::string> sign_file(const std::string& path, const SecretKey& key) {
  Status status = sodium_ready();
  if (!status.ok()) return status;
  Result<Fd> file = open_any(path);
  if (!file.ok()) return file.status();
  crypto_sign_state hash;
  status = hash_file(file->get(), path, &hash);
  if (!status.ok()) return status;
  SignatureBytes bytes{};
  crypto_sign_final_create(&hash, bytes.data(), nullptr, key.bytes().data());
  return std::string(kSignatureTag) + " " + key.public_key().id() + " " + to_base64(bytes) + "\n";
}

Result<SignatureCheck> check_signature(const std::string& path,
                                       const std::vector<PublicKey>& keys) {
  Status status = sodium_ready();
  if (!status.ok()) return status;
  Result<Fd> file = open_any(path);
  if (!file.ok()) return file.status();
  Result<std::string> beside = signature_path(path);
  if (!beside.ok()) return beside.status();
  Result<std::optional<std::string>> line = read_signature_file(AT_FDCWD, *beside, *beside);
  if (!line.ok()) return line.status();
  std::string real = beside->substr(0, beside->size() - std::strlen(kSignatureSuffix));
  return check_bytes(file->get(), real, *line, keys);
}

Status check_place(const std::string& path) { return find_trusted(path).status(); }

// ---- what the host opens

Result<TrustPolicy> TrustPolicy::make(bool require_signatures,
                                      const std::vector<std::string>& keys) {
  TrustPolicy policy;
  policy.require_signatures = require_signatures;
  for (size_t i = 0; i < keys.size(); ++i) {
    Result<PublicKey> key = PublicKey::parse(keys[i]);
    if (!key.ok()) {
      std::string which =
          keys.size() == 1 ? std::string("the key")
                           : "key " + std::to_string(i + 1) + " of " + std::to_string(keys.size());
      return Status(key.status().code(), which + ": " + key.status().message());
    }
    policy.keys.push_back(*key);
  }
  if (require_signatures && keys.empty()) {
    return Status(IMCTL_INVALID_ARGUMENT,
                  "host.module_signatures is `require` and host.module_keys has no key, so no "
                  "module could be loaded: add the public keys that you trust");
  }
  return policy;
}

std::string OpenedModule::load_path() const {
  // By number: debuggers and symbolizers, other processes, follow it too.
  return is_copy_ ? "/proc/" + std::to_string(getpid()) + "/fd/" + std::to_string(fd()) : path_;
}

Result<OpenedModule> open_trusted(const std::string& path, const TrustPolicy& policy) {
  Status status = sodium_ready();
  if (!status.ok()) return status;
  Result<TrustedFile> found = find_trusted(path);
  if (!found.ok()) return found.status();
  // The very file that was looked at, now to read.
  Fd file(open(own_path(found->file.get()).c_str(), O_RDONLY | O_CLOEXEC));
  struct stat info {};
  if (!file.ok() || fstat(file.get(), &info) != 0) return cannot(path, errno);
  if (info.st_size == 0) return refused(path + ": it is empty: was copying it interrupted?");
  if (!policy.require_signatures) return OpenedModule(std::move(file), found->path, "", false);

  std::string name = found->path.substr(found->path.rfind('/') + 1) + kSignatureSuffix;
  Result<std::optional<std::string>> line =
      read_signature_file(found->folder.get(), name, found->path + kSignatureSuffix);
  if (!line.ok()) return line.status();
  // What is verified is the copy, when it is sealed already.
  Result<Fd> copy = sealed_copy(file.get(), found->path);
  if (!copy.ok()) return copy.status();
  Result<SignatureCheck> check = check_bytes(copy->get(), found->path, *line, policy.keys);
  if (!check.ok()) return check.status();
  if (check->verdict != Verdict::kGood) {
    return refused(check->problem + " (host.module_signatures is `require`)");
  }
  return OpenedModule(std::move(*copy), found->path, check->key_id, true);
}

}  // namespace imctl::host
