#include "core/module_trust.h"

#include <fcntl.h>
#include <grp.h>
#include <pwd.h>
#include <sodium.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <deque>
#include <filesystem>
#include <functional>
#include <memory>

#include "core/settings_text.h"

namespace imctl::host {
namespace {

constexpr std::string_view kPublicPrefix = "ed25519:";
constexpr std::string_view kSecretPrefix = "ed25519-secret:";
constexpr std::string_view kSignatureTag = "imctl-signature-1";
constexpr const char* kSignatureSuffix = ".sig";
constexpr size_t kIdSize = 12;
constexpr size_t kMaxSignatureFile = 4096;
constexpr off_t kMaxModule = off_t{1} << 30;  // something else is meant, or it never ends

using SignatureBytes = std::array<unsigned char, crypto_sign_BYTES>;
static_assert(std::tuple_size_v<PublicKey::Bytes> == crypto_sign_PUBLICKEYBYTES);
static_assert(std::tuple_size_v<SecretKey::Bytes> == crypto_sign_SECRETKEYBYTES);

class Fd {
 public:
  explicit Fd(int fd = -1) : fd_(fd) {}
  Fd(Fd&& other) noexcept : fd_(other.release()) {}
  Fd& operator=(Fd&& other) noexcept {
    std::swap(fd_, other.fd_);
    return *this;
  }
  ~Fd() {
    if (fd_ >= 0) close(fd_);
  }
  bool ok() const { return fd_ >= 0; }
  int get() const { return fd_; }
  int release() { return std::exchange(fd_, -1); }

 private:
  int fd_;
};

Status ready() {
  static const bool ok = sodium_init() >= 0;  // once; it is safe on any thread
  if (ok) return {};
  return {IMCTL_INTERNAL, "libsodium cannot be used here: it finds no source of random numbers"};
}

Status refused(const std::string& message) { return {IMCTL_FAILED_PRECONDITION, message}; }

Status cannot(const std::string& path, int error) {
  return {error == ENOENT || error == ENOTDIR ? IMCTL_NOT_FOUND : IMCTL_FAILED_PRECONDITION,
          path + ": " + std::strerror(error)};
}

template <size_t N>
std::string to_base64(const std::array<unsigned char, N>& bytes) {
  std::string text(sodium_base64_ENCODED_LEN(N, sodium_base64_VARIANT_ORIGINAL), '\0');
  sodium_bin2base64(text.data(), text.size(), bytes.data(), N, sodium_base64_VARIANT_ORIGINAL);
  text.pop_back();  // its zero
  return text;
}

template <size_t N>
bool from_base64(std::string_view text, std::array<unsigned char, N>* bytes) {
  size_t size = 0;
  return sodium_base642bin(bytes->data(), N, text.data(), text.size(), nullptr, &size, nullptr,
                           sodium_base64_VARIANT_ORIGINAL) == 0 &&
         size == N;
}

// For a command that people copy.
std::string quoted(const std::string& path) {
  constexpr std::string_view kPlain = "/._-+=:@%,";
  if (std::all_of(path.begin(), path.end(), [&](char c) {
        return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
               kPlain.find(c) != std::string_view::npos;
      })) {
    return path;
  }
  std::string text = "'";
  for (char c : path) text += c == '\'' ? std::string("'\\''") : std::string(1, c);
  return text + "'";
}

std::string own_path(int fd) { return "/proc/self/fd/" + std::to_string(fd); }

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
  std::array<unsigned char, kIdSize / 4 * 3> id{};
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

// ---- users and groups

std::vector<char> lookup_buffer() { return std::vector<char>(size_t{16} << 10); }

std::string login(uid_t uid) {
  std::vector<char> buffer = lookup_buffer();
  passwd entry{};
  passwd* found = nullptr;
  getpwuid_r(uid, &entry, buffer.data(), buffer.size(), &found);
  return found == nullptr ? "" : found->pw_name;
}

std::string user_name(uid_t uid) {
  std::string name = login(uid);
  return name.empty() ? "uid " + std::to_string(uid) : name + " (uid " + std::to_string(uid) + ")";
}

struct Group {
  std::string name;
  std::vector<std::string> members;  // beside those whose primary group it is
};

Group group(gid_t gid) {
  std::vector<char> buffer(size_t{1} << 20);  // members are many
  struct group entry {};
  struct group* found = nullptr;
  getgrgid_r(gid, &entry, buffer.data(), buffer.size(), &found);
  if (found == nullptr) return {};
  Group made{found->gr_name, {}};
  for (char** member = found->gr_mem; *member != nullptr; ++member) {
    made.members.emplace_back(*member);
  }
  return made;
}

// The program that runs. Whoever can exchange it can do all that a module could: its owner and the
// folders above it say nothing new.
struct Program {
  std::string path;
  uid_t owner = 0;
};

const Program& program() {
  static const Program kProgram = [] {
    Program made;
    std::error_code error;
    made.path = std::filesystem::read_symlink("/proc/self/exe", error).string();
    struct stat info {};
    if (stat("/proc/self/exe", &info) == 0) made.owner = info.st_uid;
    return made;
  }();
  return kProgram;
}

bool is_above_program(const std::string& folder) {
  std::string prefix = folder == "/" ? folder : folder + "/";
  return program().path.compare(0, prefix.size(), prefix) == 0;
}

bool ours(uid_t uid) { return uid == 0 || uid == geteuid() || uid == program().owner; }

// Logins whose primary group it is; those of this machine, since others' cannot be listed in
// general.
std::vector<std::string> primary_members(gid_t gid) {
  std::vector<std::string> names;
  std::unique_ptr<FILE, int (*)(FILE*)> file(std::fopen("/etc/passwd", "re"), std::fclose);
  std::vector<char> buffer = lookup_buffer();
  passwd entry{};
  passwd* found = nullptr;
  int error = EIO;
  while (file != nullptr &&
         (error = fgetpwent_r(file.get(), &entry, buffer.data(), buffer.size(), &found)) == 0) {
    if (found->pw_gid == gid) names.emplace_back(found->pw_name);
  }
  if (error != ENOENT) names.emplace_back("?");  // not its end: there may be more
  return names;
}

// Does the group hold nobody but root or this process's user? Many systems give every user such a
// group, named after the user, and make all files group-writable (umask 002). OpenSSH of Debian
// lets them pass for that reason, and sudo root's group.
bool private_group(gid_t gid) {
  std::vector<std::string> users = {login(0), login(geteuid())};
  auto is_ours = [&](const std::string& name) {
    return !name.empty() && std::find(users.begin(), users.end(), name) != users.end();
  };
  Group found = group(gid);
  std::vector<std::string> primary = primary_members(gid);
  return is_ours(found.name) && std::all_of(found.members.begin(), found.members.end(), is_ours) &&
         std::all_of(primary.begin(), primary.end(), is_ours);
}

// With an access list the group's bits of the mode are what any of those on the list may do.
bool has_access_list(int fd) {
  return getxattr(own_path(fd).c_str(), "system.posix_acl_access", nullptr, 0) > 0;
}

// ---- the way to a file

// Goes from / to a file as the kernel does, one name after the other. Each folder is held by a
// descriptor from before it is looked at until the next is opened from it, so nothing can be
// exchanged between the look and the step. As with sshd's StrictModes, every folder counts: who may
// write to one may put other ones in the place of all that is below.
class Walk {
 public:
  struct Found {
    Fd file;    // O_PATH
    Fd folder;  // O_PATH
    std::string path;
  };

  explicit Walk(std::string asked) : asked_(std::move(asked)) {}

  Result<Found> run() {
    std::error_code error;
    std::string start = asked_;
    if (!start.starts_with('/'))
      start = std::filesystem::current_path(error).string() + "/" + start;
    if (error) return cannot(asked_, error.value());
    add_names(start);
    Status status = enter(Fd(open("/", O_PATH | O_DIRECTORY | O_CLOEXEC)), "/");
    while (status.ok() && !names_.empty()) {
      std::string name = std::move(names_.front());
      names_.pop_front();
      if (name == "..") {
        if (folders_.size() > 1) folders_.pop_back();
        continue;
      }
      const std::string& above = folders_.back().path;
      std::string path = (above == "/" ? "" : above) + "/" + name;
      Fd fd(openat(folders_.back().fd.get(), name.c_str(), O_PATH | O_NOFOLLOW | O_CLOEXEC));
      struct stat info {};
      if (!fd.ok() || fstat(fd.get(), &info) != 0) return cannot(asked_, errno);
      if (S_ISLNK(info.st_mode)) {
        status = follow(fd, info, path);
      } else if (S_ISDIR(info.st_mode)) {
        status = enter(std::move(fd), path);
      } else if (!names_.empty()) {
        return cannot(asked_, ENOTDIR);
      } else {
        return arrive(std::move(fd), info, path);
      }
    }
    if (!status.ok()) return status;
    return refused(asked_ + ": a folder, not a module's file");
  }

 private:
  struct Folder {
    Fd fd;
    std::string path;
    mode_t mode;
  };
  static constexpr int kMaxLinks = 40;  // as the kernel

  void add_names(const std::string& path) {
    std::vector<std::string> names;
    for (const auto& part : std::filesystem::path(path).relative_path()) {
      if (!part.empty() && part != ".") names.push_back(part.string());
    }
    names_.insert(names_.begin(), names.begin(), names.end());
  }

  Status enter(Fd fd, const std::string& path) {
    struct stat info {};
    if (!fd.ok() || fstat(fd.get(), &info) != 0) return cannot(asked_, errno);
    if (is_above_program(path)) {
      folders_.push_back({std::move(fd), path, info.st_mode});
      return {};
    }
    std::string what = "the folder " + path;
    Status status = check_owner(info, what, "chown root ", path);
    // In a sticky folder, as /tmp, only the owner of a file can exchange it, and that is checked.
    if (status.ok() && (info.st_mode & S_ISVTX) == 0) {
      status = check_writers(fd.get(), info, what, path);
    }
    if (status.ok()) folders_.push_back({std::move(fd), path, info.st_mode});
    return status;
  }

  Status follow(const Fd& link, const struct stat& info, const std::string& path) {
    Status status = check_owner(info, "the link " + path, "chown -h root ", path);
    if (!status.ok()) return status;
    if (++links_ > kMaxLinks) return cannot(asked_, ELOOP);
    std::string target(4096, '\0');
    ssize_t n = readlinkat(link.get(), "", target.data(), target.size());
    if (n <= 0) return cannot(asked_, n < 0 ? errno : ENOENT);
    target.resize(static_cast<size_t>(n));
    if (target.front() == '/') folders_.erase(folders_.begin() + 1, folders_.end());
    add_names(target);
    return {};
  }

  Result<Found> arrive(Fd fd, const struct stat& info, const std::string& path) {
    if (!S_ISREG(info.st_mode)) return refused(asked_ + ": not a regular file");
    std::string what = path == asked_ ? "the file" : "the file " + path;
    Status status = check_owner(info, what, "chown root ", path);
    if (status.ok()) status = check_writers(fd.get(), info, what, path);
    if (!status.ok()) return status;
    Folder& folder = folders_.back();
    if ((folder.mode & S_IWOTH) != 0) {
      return refused(asked_ + ": everybody may put files into the folder " + folder.path +
                     ", also ones that the module would take for its own: move it to a folder that "
                     "is only yours");
    }
    return Found{std::move(fd), std::move(folder.fd), path};
  }

  Status check_owner(const struct stat& info, const std::string& what, const char* command,
                     const std::string& path) const {
    if (ours(info.st_uid)) return {};
    std::string who = geteuid() == 0
                          ? "is not root"
                          : "is neither root nor the host's user " + user_name(geteuid());
    return refused(asked_ + ": " + what + " belongs to " + user_name(info.st_uid) + ", who " + who +
                   " and could change what is loaded: " + command + quoted(path));
  }

  Status check_writers(int fd, const struct stat& info, const std::string& what,
                       const std::string& path) const {
    bool everybody = (info.st_mode & S_IWOTH) != 0;
    bool listed = (info.st_mode & S_IWGRP) != 0 && has_access_list(fd);
    bool members = (info.st_mode & S_IWGRP) != 0 && !listed && !private_group(info.st_gid);
    if (!everybody && !listed && !members) return {};
    std::array<char, 8> mode{};
    std::snprintf(mode.data(), mode.size(), "%04o", info.st_mode & 07777U);
    std::string name = group(info.st_gid).name;
    std::string who = everybody ? "everybody"
                      : listed  ? "whoever is on its access list"
                                : "the group " + (name.empty() ? "" : name + " ") + "(gid " +
                                     std::to_string(info.st_gid) + ")";
    // setfacl takes the list away and leaves the mode, of which the group's part was the list's.
    std::string remedy = listed ? "setfacl -b " + quoted(path) + " && " : "";
    remedy += everybody ? (members || listed ? "chmod go-w " : "chmod o-w ") : "chmod g-w ";
    return refused(asked_ + ": " + who + " may write to " + what + " (mode " + mode.data() +
                   ") and so change what is loaded: " + remedy + quoted(path));
  }

  std::string asked_;
  std::deque<std::string> names_;  // still to go
  std::vector<Folder> folders_;    // from / to here
  int links_ = 0;
};

}  // namespace

// ---- keys

Result<PublicKey> PublicKey::parse(std::string_view text) {
  Status status = ready();
  if (!status.ok()) return status;
  text = trim(text);
  if (text.starts_with(kSecretPrefix)) {
    return Status(IMCTL_INVALID_ARGUMENT,
                  "it is a secret key, which belongs to whoever signs: give the public one that "
                  "`imctl module keygen` wrote beside it (.pub), and make a new pair if others "
                  "may have read this");
  }
  if (!text.starts_with(kPublicPrefix)) {
    return Status(IMCTL_INVALID_ARGUMENT, "it is no public key: one begins with " +
                                              std::string(kPublicPrefix) +
                                              " (`imctl module keygen` prints it)");
  }
  Bytes bytes{};
  if (!from_base64(text.substr(kPublicPrefix.size()), &bytes)) {
    return Status(IMCTL_INVALID_ARGUMENT, "'" + std::string(text) + "' is no public key: after " +
                                              std::string(kPublicPrefix) +
                                              " come 44 characters of base64");
  }
  if (crypto_core_ed25519_is_valid_point(bytes.data()) == 0) {
    return Status(IMCTL_INVALID_ARGUMENT,
                  "'" + std::string(text) + "' is no public key of Ed25519: was it mistyped?");
  }
  return PublicKey(bytes);
}

std::string PublicKey::text() const { return std::string(kPublicPrefix) + to_base64(bytes_); }

std::string PublicKey::id() const { return to_base64(bytes_).substr(0, kIdSize); }

Result<SecretKey> SecretKey::generate() {
  Status status = ready();
  if (!status.ok()) return status;
  SecretKey key;
  PublicKey::Bytes public_bytes{};
  crypto_sign_keypair(public_bytes.data(), key.bytes_.data());
  return key;
}

Result<SecretKey> SecretKey::parse(std::string_view text) {
  Status status = ready();
  if (!status.ok()) return status;
  text = trim(text);
  if (text.starts_with(kPublicPrefix)) {
    return Status(IMCTL_INVALID_ARGUMENT,
                  "it is a public key; to sign takes the secret one, the file without .pub");
  }
  std::array<unsigned char, crypto_sign_SEEDBYTES> seed{};
  if (!text.starts_with(kSecretPrefix) || !from_base64(text.substr(kSecretPrefix.size()), &seed)) {
    return Status(IMCTL_INVALID_ARGUMENT, "it is no secret key: `imctl module keygen` makes one");
  }
  SecretKey key;
  PublicKey::Bytes public_bytes{};
  crypto_sign_seed_keypair(public_bytes.data(), key.bytes_.data(), seed.data());
  sodium_memzero(seed.data(), seed.size());
  return key;
}

SecretKey::SecretKey(SecretKey&& other) noexcept : bytes_(other.bytes_) {
  sodium_memzero(other.bytes_.data(), other.bytes_.size());
}

SecretKey& SecretKey::operator=(SecretKey&& other) noexcept {
  std::swap(bytes_, other.bytes_);
  return *this;
}

SecretKey::~SecretKey() { sodium_memzero(bytes_.data(), bytes_.size()); }

std::string SecretKey::text() const {
  std::array<unsigned char, crypto_sign_SEEDBYTES> seed{};
  std::copy_n(bytes_.begin(), seed.size(), seed.begin());
  std::string text = std::string(kSecretPrefix) + to_base64(seed);
  sodium_memzero(seed.data(), seed.size());
  return text;
}

PublicKey SecretKey::public_key() const {
  PublicKey::Bytes bytes{};
  std::copy_n(bytes_.begin() + crypto_sign_SEEDBYTES, bytes.size(), bytes.begin());
  return PublicKey(bytes);
}

// ---- files and their signatures

namespace {

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
  Status status = ready();
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
  Status status = ready();
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

Status check_place(const std::string& path) { return Walk(path).run().status(); }

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

OpenedModule::OpenedModule(OpenedModule&& other) noexcept
    : fd_(std::exchange(other.fd_, -1)),
      path_(std::move(other.path_)),
      key_id_(std::move(other.key_id_)),
      is_copy_(other.is_copy_) {}

OpenedModule& OpenedModule::operator=(OpenedModule&& other) noexcept {
  std::swap(fd_, other.fd_);
  std::swap(path_, other.path_);
  std::swap(key_id_, other.key_id_);
  std::swap(is_copy_, other.is_copy_);
  return *this;
}

OpenedModule::~OpenedModule() {
  if (fd_ >= 0) close(fd_);
}

std::string OpenedModule::load_path() const {
  // By number: debuggers and symbolizers, other processes, follow it too.
  return is_copy_ ? "/proc/" + std::to_string(getpid()) + "/fd/" + std::to_string(fd_) : path_;
}

Result<OpenedModule> open_trusted(const std::string& path, const TrustPolicy& policy) {
  Status status = ready();
  if (!status.ok()) return status;
  Result<Walk::Found> found = Walk(path).run();
  if (!found.ok()) return found.status();
  // The very file that was looked at, now to read.
  Fd file(open(own_path(found->file.get()).c_str(), O_RDONLY | O_CLOEXEC));
  struct stat info {};
  if (!file.ok() || fstat(file.get(), &info) != 0) return cannot(path, errno);
  if (info.st_size == 0) return refused(path + ": it is empty: was copying it interrupted?");
  if (!policy.require_signatures) return OpenedModule(file.release(), found->path, "", false);

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
  return OpenedModule(copy->release(), found->path, check->key_id, true);
}

}  // namespace imctl::host
