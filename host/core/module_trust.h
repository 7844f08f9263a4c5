// Which module files the host loads: only those that nobody else can change, and, if the settings
// ask for it, only those that were signed. docs/module-signatures.md says the same to operators.
//
// A signature is Ed25519ph of RFC 8032 (by libsodium) over the whole file. It stands beside the
// file, in FILE.so.sig, as one line:  imctl-signature-1 KEYID BASE64
//
// Every function may be called on any thread. Errors name the file or folder and the command that
// mends it: NOT_FOUND if there is no such file, INVALID_ARGUMENT for text that is no key,
// FAILED_PRECONDITION for what is not trusted or cannot be read.
#ifndef IMCTL_HOST_CORE_MODULE_TRUST_H
#define IMCTL_HOST_CORE_MODULE_TRUST_H

#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "core/fd.h"
#include "core/module_keys.h"
#include "imctl/status.h"

namespace imctl::host {

// Makes the line for FILE.so.sig, with its line end.
Result<std::string> sign_file(const std::string& path, const SecretKey& key);

// Where the signature of a file is: beside the file itself if `path` is a link to it.
Result<std::string> signature_path(const std::string& path);

enum class Verdict { kGood, kUnsigned, kMalformed, kUnknownKey, kBad };

struct SignatureCheck {
  Verdict verdict = Verdict::kUnsigned;
  std::string key_id;            // whose it says it is; empty if it says nothing that can be read
  std::optional<PublicKey> key;  // which of the keys it fits, if it is good
  std::string problem;           // empty if it is good; names the file, why, and what to do
};

// Looks at nothing but bytes: not at whose the file is. An error: the file cannot be read.
Result<SignatureCheck> check_signature(const std::string& path, const std::vector<PublicKey>& keys);

// Can nobody but root and this process's user change the file or put another one in its place?
// Every folder and link that the path passes through is looked at, up to /.
Status check_place(const std::string& path);

struct TrustPolicy {
  bool require_signatures = false;
  std::vector<PublicKey> keys;

  // INVALID_ARGUMENT says which of the keys is none, or that signatures are required and there is
  // no key.
  static Result<TrustPolicy> make(bool require_signatures, const std::vector<std::string>& keys);
};

// A file that may be loaded. It must live as long as what was loaded from its load_path(): the
// dynamic linker takes two files of the same name for one, and descriptors' numbers come again.
class OpenedModule {
 public:
  // For people: the file itself, where every link has led.
  const std::string& path() const { return path_; }
  // Whose signature it has; empty if none was asked for.
  const std::string& key_id() const { return key_id_; }
  // Closed on exec, this object's. Use pread() or load_path(): its offset may be anywhere. The mode
  // of a copy lets its owner read and nobody do more.
  int fd() const { return fd_.get(); }
  // Is it a copy in memory, which nobody can change any more?
  bool is_copy() const { return is_copy_; }

  // What to give to dlopen() and to whatever else reads it. Of a copy, its descriptor as a path of
  // this process; else the file's own path, so that $ORIGIN, debuggers and profilers work: it was
  // found to be nobody else's to change.
  std::string load_path() const;

 private:
  friend Result<OpenedModule> open_trusted(const std::string& path, const TrustPolicy& policy);
  OpenedModule(Fd fd, std::string path, std::string key_id, bool is_copy)
      : fd_(std::move(fd)), path_(std::move(path)), key_id_(std::move(key_id)), is_copy_(is_copy) {}

  Fd fd_;
  std::string path_;
  std::string key_id_;
  bool is_copy_;
};

// Opens the file once, through folders that are held open while they are looked at, and refuses
// what check_place() does. If signatures are required, the file is read once, into a sealed copy in
// memory; the copy is what is verified and what is loaded, so nothing that happens to the file
// afterwards matters.
Result<OpenedModule> open_trusted(const std::string& path, const TrustPolicy& policy);

}  // namespace imctl::host

#endif  // IMCTL_HOST_CORE_MODULE_TRUST_H
