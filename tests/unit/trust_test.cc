// Which module files are loaded: signatures, whose the file and its folders are, and that what is
// loaded is what was looked at.
#include <dlfcn.h>
#include <fcntl.h>
#include <gtest/gtest.h>
#include <sodium.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <atomic>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <functional>
#include <sstream>
#include <thread>
#include <utility>

#include "cli/app.h"
#include "cli/host_verbs.h"
#include "core/module_file.h"
#include "core/module_trust.h"
#include "imctl/module.h"

namespace imctl::host {
namespace {

namespace fs = std::filesystem;

constexpr const char* kEcho = IMCTL_TEST_MODULES "/echo.so";
constexpr const char* kTwin = IMCTL_TEST_MODULES "/twin-a.so";
constexpr uid_t kOther = 12345;  // of nobody here

std::string read(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  std::stringstream text;
  text << file.rdbuf();
  return text.str();
}

void write(const std::string& path, const std::string& content) {
  std::ofstream(path, std::ios::binary | std::ios::trunc) << content;
}

bool says(const Status& status, const std::string& words) {
  return status.message().find(words) != std::string::npos;
}

#define EXPECT_SAYS(status, words) EXPECT_TRUE(says(status, words)) << (status).message()

class Trust : public testing::Test {
 protected:
  Trust() : key_(std::move(*SecretKey::generate())), other_(std::move(*SecretKey::generate())) {
    std::string made = (fs::temp_directory_path() / "imctl-trust-XXXXXX").string();
    folder_ = fs::canonical(::mkdtemp(made.data())).string();
    file_ = folder_ + "/a.so";
    write(file_, content_);
    ::chmod(file_.c_str(), 0644);
  }
  ~Trust() override { fs::remove_all(folder_); }

  void sign(const std::string& path, const SecretKey& key) {
    Result<std::string> line = sign_file(path, key);
    ASSERT_TRUE(line.ok()) << line.status().message();
    write(*signature_path(path), *line);
  }
  void sign() { sign(file_, key_); }

  TrustPolicy required() const { return {true, {key_.public_key()}}; }
  Status open(const std::string& path) { return open_trusted(path, required()).status(); }
  Status open() { return open(file_); }
  Status open_unsigned(const std::string& path) { return open_trusted(path, {}).status(); }
  Status open_unsigned() { return open_unsigned(file_); }

  // The command at an error's end does what it says. Not if it is about anything but this test's.
  void mend(const Status& status) {
    std::string command = status.message().substr(status.message().rfind(": ") + 2);
    ASSERT_NE(command.find(folder_), std::string::npos) << status.message();
    ASSERT_EQ(std::system(command.c_str()), 0) << command;
  }

  std::string content_ = std::string(300'000, 'x') + "end";
  SecretKey key_;
  SecretKey other_;
  std::string folder_;
  std::string file_;
};

// ---- signatures

std::string from_hex(const std::string& hex) {
  std::string bytes(hex.size() / 2, '\0');
  sodium_hex2bin(reinterpret_cast<unsigned char*>(bytes.data()), bytes.size(), hex.data(),
                 hex.size(), nullptr, nullptr, nullptr);
  return bytes;
}

std::string base64(const std::string& bytes) {
  std::string text(sodium_base64_encoded_len(bytes.size(), sodium_base64_VARIANT_ORIGINAL), '\0');
  sodium_bin2base64(text.data(), text.size(), reinterpret_cast<const unsigned char*>(bytes.data()),
                    bytes.size(), sodium_base64_VARIANT_ORIGINAL);
  text.pop_back();
  return text;
}

// Section 7.3, so that other programs can check our signatures, and we theirs.
TEST_F(Trust, SignaturesAreThoseOfRfc8032) {
  const std::string seed =
      from_hex("833fe62409237b9d62ec77587520911e9a759cec1d19755b7da901b96dca3d42");
  const std::string signature = from_hex(
      "98a70222f0b8121aa9d30f813d683f809e462b469c7ff87639499bb94e6dae41"
      "31f85042463c2a355a2003d062adf5aaa10b8c61e636062aaad11c2a26083406");
  Result<SecretKey> key = SecretKey::parse("ed25519-secret:" + base64(seed) + "\n");
  ASSERT_TRUE(key.ok()) << key.status().message();
  write(file_, "abc");
  EXPECT_EQ(*sign_file(file_, *key), "imctl-signature-1 " + key->public_key().text().substr(8, 12) +
                                         " " + base64(signature) + "\n");
}

TEST_F(Trust, SignedIsOpened) {
  sign();
  Result<OpenedModule> opened = open_trusted(file_, required());
  ASSERT_TRUE(opened.ok()) << opened.status().message();
  EXPECT_EQ(opened->path(), file_);
  EXPECT_EQ(opened->key_id(), key_.public_key().id());
  EXPECT_EQ(read(opened->load_path()), content_);
  EXPECT_NE(::fcntl(opened->fd(), F_GETFD) & FD_CLOEXEC, 0);

  Result<TrustPolicy> both =
      TrustPolicy::make(true, {other_.public_key().text(), key_.public_key().text()});
  ASSERT_TRUE(both.ok());
  EXPECT_TRUE(open_trusted(file_, *both).ok());
}

TEST_F(Trust, ChangedByAByteIsRefused) {
  sign();
  for (size_t at : {size_t{0}, content_.size() / 2, content_.size() - 1}) {
    std::string changed = content_;
    changed[at] ^= 1;
    write(file_, changed);
    EXPECT_SAYS(open(), "not what was signed") << at;
  }
  for (const std::string& changed :
       {content_ + "x", content_.substr(1), content_.substr(0, content_.size() - 1)}) {
    write(file_, changed);
    EXPECT_SAYS(open(), "not what was signed");
  }
  write(file_, content_);
  EXPECT_TRUE(open().ok());
}

TEST_F(Trust, AnotherKeyIsRefused) {
  sign(file_, other_);
  Status status = open();
  EXPECT_EQ(status.code(), IMCTL_FAILED_PRECONDITION);
  EXPECT_SAYS(status, other_.public_key().id());
  EXPECT_SAYS(status, key_.public_key().id());
  EXPECT_SAYS(status, "host.module_keys");

  // Who signs may write any key's id.
  std::string line = *sign_file(file_, other_);
  line.replace(line.find(other_.public_key().id()), 12, key_.public_key().id());
  write(file_ + ".sig", line);
  EXPECT_SAYS(open(), "not what was signed with the key " + key_.public_key().id());
}

TEST_F(Trust, ASignatureOfAnotherFileIsRefused) {
  write(folder_ + "/b.so", "b");
  sign(folder_ + "/b.so", key_);
  fs::rename(folder_ + "/b.so.sig", file_ + ".sig");
  EXPECT_SAYS(open(), "not what was signed");
}

TEST_F(Trust, NoSignatureIsRefused) {
  Status status = open();
  EXPECT_EQ(status.code(), IMCTL_FAILED_PRECONDITION);
  EXPECT_SAYS(status, file_ + ".sig");
  EXPECT_SAYS(status, "not signed");
  EXPECT_SAYS(status, "host.module_signatures");
  EXPECT_TRUE(open_unsigned().ok());
}

TEST_F(Trust, ADamagedSignatureIsRefused) {
  const std::string line = *sign_file(file_, key_);
  for (size_t size = 0; size + 1 < line.size(); ++size) {
    write(file_ + ".sig", line.substr(0, size));
    EXPECT_SAYS(open(), "not a signature") << size;
  }
  for (const std::string& text :
       {line + line, "imctl-signature-2" + line.substr(17), line + std::string(1 << 20, ' '),
        std::string("\0\xff\n", 3), "x" + line}) {
    write(file_ + ".sig", text);
    EXPECT_SAYS(open(), "not a signature") << text.substr(0, 40);
  }
  for (size_t at = 31; at + 1 < line.size(); ++at) {  // in the signature itself
    std::string changed = line;
    changed[at] = changed[at] == 'A' ? 'B' : 'A';
    write(file_ + ".sig", changed);
    EXPECT_FALSE(open().ok()) << at;
  }
  write(file_ + ".sig", line.substr(0, line.size() - 1) + "\r\n");
  EXPECT_TRUE(open().ok()) << "a line's end of another system";
  fs::remove(file_ + ".sig");
  ASSERT_EQ(::mkfifo((file_ + ".sig").c_str(), 0600), 0);
  EXPECT_SAYS(open(), "not a signature");
}

// ---- keys

TEST(TrustKeys, BadOnesAreNamed) {
  const std::string good = SecretKey::generate()->public_key().text();
  Status status = TrustPolicy::make(false, {good, "ed25519:AAAA"}).status();
  EXPECT_EQ(status.code(), IMCTL_INVALID_ARGUMENT);
  EXPECT_SAYS(status, "key 2 of 2");
  EXPECT_SAYS(status, "'ed25519:AAAA'");
  EXPECT_SAYS(TrustPolicy::make(false, {"RWQx"}).status(), "ed25519:");
  EXPECT_FALSE(PublicKey::parse(good + "A").ok());
  EXPECT_FALSE(PublicKey::parse(good.substr(0, good.size() - 1)).ok());
  EXPECT_TRUE(PublicKey::parse("  " + good + "\n").ok());
  // A point of small order, for which anybody can make signatures.
  EXPECT_FALSE(PublicKey::parse("ed25519:" + base64(std::string(32, '\0'))).ok());
  EXPECT_EQ(PublicKey::parse(good)->text(), good);
  EXPECT_SAYS(TrustPolicy::make(true, {}).status(), "host.module_keys");
  EXPECT_TRUE(TrustPolicy::make(false, {}).ok());
}

TEST(TrustKeys, SecretsAreNotShown) {
  const std::string secret = SecretKey::generate()->text();
  Status status = PublicKey::parse(secret).status();
  EXPECT_SAYS(status, "secret key");
  EXPECT_FALSE(says(status, secret.substr(15))) << status.message();
  status = PublicKey::parse(secret.substr(15)).status();
  EXPECT_FALSE(says(status, secret.substr(15, 8))) << status.message();
  status = SecretKey::parse(secret.substr(0, secret.size() - 2)).status();
  EXPECT_FALSE(status.ok());
  EXPECT_FALSE(says(status, secret.substr(15, 8))) << status.message();
  EXPECT_EQ(SecretKey::parse(secret)->text(), secret);
}

// ---- whose it is

TEST_F(Trust, WhatEverybodyMayWriteIsRefused) {
  for (const std::string& path : {file_, folder_}) {
    ASSERT_EQ(::chmod(path.c_str(), 0777), 0);
    Status status = open_unsigned();
    EXPECT_EQ(status.code(), IMCTL_FAILED_PRECONDITION);
    EXPECT_SAYS(status, "everybody");
    EXPECT_SAYS(status, "(mode 0777)");
    EXPECT_SAYS(status, "o-w " + path);
    EXPECT_EQ(check_place(file_).message(), status.message());
    sign();
    EXPECT_SAYS(open(), "everybody") << "a signature is no excuse";
    mend(status);
    EXPECT_TRUE(open_unsigned().ok()) << open_unsigned().message();
  }
}

TEST_F(Trust, FoldersCountUpToTheRoot) {
  const std::string upper = folder_ + "/it's an upper one";
  fs::create_directories(upper + "/lower/lowest");
  const std::string file = upper + "/lower/lowest/a.so";
  write(file, content_);
  ASSERT_EQ(::chmod(upper.c_str(), 0757), 0);
  Status status = open_unsigned(file);
  EXPECT_SAYS(status, "the folder " + upper + " (mode 0757)");
  mend(status);  // with a quote in the name
  EXPECT_TRUE(open_unsigned(file).ok());
}

TEST_F(Trust, ASecretFolderDoesNotHelp) {
  // Nobody else can enter it, but the mode may have been another one yesterday.
  ASSERT_EQ(::chmod(folder_.c_str(), 0700), 0);
  ASSERT_EQ(::chmod(file_.c_str(), 0666), 0);
  EXPECT_FALSE(open_unsigned().ok());
}

TEST_F(Trust, StickyFoldersAboveMayBeEverybodys) {
  fs::create_directories(folder_ + "/tmp/mine");
  ASSERT_EQ(::chmod((folder_ + "/tmp").c_str(), 01777), 0);
  fs::rename(file_, folder_ + "/tmp/mine/a.so");
  EXPECT_TRUE(open_unsigned(folder_ + "/tmp/mine/a.so").ok());
  // Others could put libraries or more modules beside it.
  fs::rename(folder_ + "/tmp/mine/a.so", folder_ + "/tmp/a.so");
  EXPECT_SAYS(open_unsigned(folder_ + "/tmp/a.so"), "folder that is only yours");
}

class TrustAsRoot : public Trust {
 protected:
  void SetUp() override {
    if (::geteuid() != 0) GTEST_SKIP() << "only root can give files away";
  }
};

TEST_F(TrustAsRoot, WhatBelongsToOthersIsRefused) {
  fs::create_symlink("a.so", folder_ + "/link.so");
  for (const std::string& path : {file_, folder_, folder_ + "/link.so"}) {
    ASSERT_EQ(::lchown(path.c_str(), kOther, 0), 0);
    Status status = open_unsigned(folder_ + "/link.so");
    EXPECT_EQ(status.code(), IMCTL_FAILED_PRECONDITION);
    EXPECT_SAYS(status, path + " belongs to uid 12345");
    mend(status);
    status = open_unsigned(folder_ + "/link.so");
    EXPECT_TRUE(status.ok()) << status.message();
  }
}

TEST_F(TrustAsRoot, WhatAGroupMayWriteIsRefused) {
  for (const std::string& path : {file_, folder_}) {
    ASSERT_EQ(::chown(path.c_str(), 0, kOther), 0);
    ASSERT_EQ(::chmod(path.c_str(), 0775), 0);
    Status status = open_unsigned();
    EXPECT_SAYS(status, "group (gid 12345)");
    mend(status);
    EXPECT_TRUE(open_unsigned().ok()) << open_unsigned().message();
    ASSERT_EQ(::chmod(path.c_str(), 0777), 0);
    mend(open_unsigned());
    EXPECT_TRUE(open_unsigned().ok()) << "both at once: " << open_unsigned().message();
  }
}

TEST_F(TrustAsRoot, RootsOwnGroupMayWrite) {
  ASSERT_EQ(::chown(file_.c_str(), 0, 0), 0);
  ASSERT_EQ(::chmod(file_.c_str(), 0664), 0);
  EXPECT_TRUE(open_unsigned().ok()) << open_unsigned().message();
}

// Two users' access lists hide behind the group's bits.
TEST_F(TrustAsRoot, AccessListsCount) {
  struct Entry {
    uint16_t tag, permissions;
    uint32_t id;
  };
  struct {
    uint32_t version = 2;
    std::array<Entry, 5> entries = {
        {{1, 6, ~0U}, {2, 6, kOther}, {4, 4, ~0U}, {16, 6, ~0U}, {32, 4, ~0U}}};
  } list;
  if (::setxattr(file_.c_str(), "system.posix_acl_access", &list, sizeof(list), 0) != 0) {
    GTEST_SKIP() << "no access lists in " << folder_;
  }
  EXPECT_SAYS(open_unsigned(), "access list");
  EXPECT_SAYS(open_unsigned(), "setfacl -b");
}

// As a host that runs as a user of its own, with root's modules and with its own.
TEST_F(TrustAsRoot, AUsersHost) {
  ASSERT_EQ(::chmod(folder_.c_str(), 0755), 0);
  ASSERT_EQ(::seteuid(kOther), 0);
  Status roots = open_unsigned();
  ASSERT_EQ(::seteuid(0), 0);
  EXPECT_TRUE(roots.ok()) << roots.message();

  ASSERT_EQ(::chown(file_.c_str(), kOther, kOther), 0);
  ASSERT_EQ(::seteuid(kOther), 0);
  Status own = open_unsigned();
  ASSERT_EQ(::seteuid(kOther + 1), -1);
  ASSERT_EQ(::seteuid(0), 0);
  EXPECT_TRUE(own.ok()) << own.message();

  ASSERT_EQ(::chmod(file_.c_str(), 0600), 0);
  ASSERT_EQ(::chown(file_.c_str(), 0, 0), 0);
  ASSERT_EQ(::seteuid(kOther), 0);
  Status unreadable = open_unsigned();
  ASSERT_EQ(::seteuid(0), 0);
  EXPECT_SAYS(unreadable, file_ + ": Permission denied");
}

// ---- ways to it

TEST_F(Trust, LinksAreFollowedAndLookedAt) {
  sign();
  fs::create_directories(folder_ + "/modules");
  fs::create_directories(folder_ + "/versions/1");
  fs::create_symlink("../versions/current/a.so", folder_ + "/modules/a.so");
  fs::create_symlink(folder_ + "/versions/1", folder_ + "/versions/current");
  fs::rename(file_, folder_ + "/versions/1/a.so");
  fs::rename(file_ + ".sig", folder_ + "/versions/1/a.so.sig");
  const std::string link = folder_ + "/modules/a.so";
  Result<OpenedModule> opened = open_trusted(link, required());
  ASSERT_TRUE(opened.ok()) << opened.status().message();
  EXPECT_EQ(opened->path(), folder_ + "/versions/1/a.so");

  // The folder of the link, of the link on its way, and of the file itself.
  for (const char* name : {"/modules", "/versions", "/versions/1"}) {
    ASSERT_EQ(::chmod((folder_ + name).c_str(), 0777), 0);
    EXPECT_SAYS(open(link), "the folder " + folder_ + name + " (mode 0777)");
    ASSERT_EQ(::chmod((folder_ + name).c_str(), 0755), 0);
  }
  EXPECT_TRUE(open(link).ok());
}

TEST_F(Trust, EveryWayOfWritingAPath) {
  const std::string name = fs::path(folder_).filename().string();
  const fs::path before = fs::current_path();
  fs::current_path(folder_);
  for (const std::string& path :
       {std::string("a.so"), std::string("./a.so"), "../" + name + "/a.so", folder_ + "//./a.so",
        "/.." + folder_ + "/../" + name + "/a.so"}) {
    Result<OpenedModule> opened = open_trusted(path, {});
    ASSERT_TRUE(opened.ok()) << path << ": " << opened.status().message();
    EXPECT_EQ(opened->path(), file_) << path;
  }
  fs::current_path(before);
}

TEST_F(Trust, UnusualFilesAreRefused) {
  write(folder_ + "/empty.so", "");
  EXPECT_SAYS(open_unsigned(folder_ + "/empty.so"), "empty");
  EXPECT_FALSE(sign_file(folder_ + "/empty.so", key_).ok());
  fs::create_directory(folder_ + "/folder.so");
  EXPECT_SAYS(open_unsigned(folder_ + "/folder.so"), "a folder");
  ASSERT_EQ(::mkfifo((folder_ + "/pipe.so").c_str(), 0600), 0);
  EXPECT_SAYS(open_unsigned(folder_ + "/pipe.so"), "not a regular file");
  EXPECT_FALSE(sign_file(folder_ + "/pipe.so", key_).ok());
  EXPECT_FALSE(check_signature(folder_ + "/pipe.so", {}).ok());
  EXPECT_SAYS(open_unsigned("/dev/zero"), "not a regular file");
  fs::create_symlink("loop.so", folder_ + "/loop.so");
  EXPECT_SAYS(open_unsigned(folder_ + "/loop.so"), "symbolic links");
  fs::create_symlink("nothing.so", folder_ + "/dangling.so");
  for (const std::string& path :
       {folder_ + "/dangling.so", folder_ + "/nothing.so", file_ + "/a.so", std::string("")}) {
    EXPECT_FALSE(open_unsigned(path).ok()) << path;
  }
  EXPECT_EQ(open_unsigned(folder_ + "/nothing.so").code(), IMCTL_NOT_FOUND);
}

TEST_F(Trust, EndlessFilesAreRefused) {
  fs::resize_file(file_, (uintmax_t{1} << 30) + 1);  // takes no room
  EXPECT_SAYS(sign_file(file_, key_).status(), "1 GiB");
}

// ---- what is loaded is what was looked at

// Opens while `flip` puts one file and the other in place: never the wrong one.
void race(const std::string& path, const TrustPolicy& policy, const std::string& good,
          const std::function<void(bool)>& flip) {
  std::atomic<bool> stop{false};
  std::thread flipper([&] {
    for (bool which = false; !stop; which = !which) flip(which);
  });
  int opened_ones = 0;
  for (int i = 0; i < 100; ++i) {
    Result<OpenedModule> opened = open_trusted(path, policy);
    if (!opened.ok()) continue;
    ++opened_ones;
    EXPECT_EQ(read("/proc/self/fd/" + std::to_string(opened->fd())), good);
  }
  stop = true;
  flipper.join();
  testing::Test::RecordProperty("opened", opened_ones);
}

TEST_F(Trust, ALinkThatIsExchangedMeanwhile) {
  sign();
  write(folder_ + "/evil.so", std::string(content_.size(), 'e'));
  const std::string link = folder_ + "/link.so";
  race(link, required(), content_, [&](bool good) {
    fs::create_symlink(good ? "a.so" : "evil.so", link + ".new");
    fs::rename(link + ".new", link);
  });
}

TEST_F(Trust, AFileThatIsExchangedMeanwhile) {
  sign();
  race(file_, required(), content_, [&](bool good) {
    write(file_ + ".new", good ? content_ : std::string(content_.size(), 'e'));
    fs::rename(file_ + ".new", file_);
  });
}

TEST_F(Trust, AFileThatIsWrittenMeanwhile) {
  sign();
  race(file_, required(), content_, [&](bool good) {
    int fd = ::open(file_.c_str(), O_WRONLY | O_CLOEXEC);
    EXPECT_EQ(::pwrite(fd, good ? "x" : "e", 1, 0), 1);
    ::close(fd);
  });
}

TEST_F(Trust, AFolderThatIsExchangedMeanwhile) {
  fs::create_directories(folder_ + "/good");
  fs::create_directories(folder_ + "/evil");
  write(folder_ + "/good/a.so", content_);
  write(folder_ + "/evil/a.so", "evil");
  ASSERT_EQ(::chmod((folder_ + "/evil").c_str(), 0777), 0);
  fs::create_symlink("good", folder_ + "/link");
  const std::string link = folder_ + "/link";
  race(link + "/a.so", {}, content_, [&](bool good) {
    fs::create_symlink(good ? "good" : "evil", link + ".new");
    fs::rename(link + ".new", link);
  });
}

struct Loaded {
  explicit Loaded(const std::string& path) : handle(::dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL)) {
    EXPECT_NE(handle, nullptr) << ::dlerror();
  }
  Loaded(const Loaded&) = delete;
  Loaded& operator=(const Loaded&) = delete;
  ~Loaded() {
    if (handle != nullptr) ::dlclose(handle);
  }
  void* entry() const { return ::dlsym(handle, IMCTL_MODULE_ENTRY); }
  void* handle;
};

TEST_F(Trust, WhatIsLoadedIsWhatWasVerified) {
  fs::copy_file(kEcho, file_, fs::copy_options::overwrite_existing);
  sign();
  Result<OpenedModule> opened = open_trusted(file_, required());
  ASSERT_TRUE(opened.ok()) << opened.status().message();
  EXPECT_TRUE(opened->is_copy());
  // Other bytes in the same file, and then no file.
  write(file_, read(kTwin));
  fs::remove(file_);
  Result<ModuleFile> file = read_module_file(opened->load_path());
  ASSERT_TRUE(file.ok()) << file.status().message();
  EXPECT_EQ(file->manifest.name(), "echo");
  Loaded loaded(opened->load_path());
  EXPECT_NE(loaded.entry(), nullptr);

  int fd = ::open(opened->load_path().c_str(), O_RDWR | O_CLOEXEC);  // root may
  if (fd >= 0) {
    EXPECT_EQ(::pwrite(fd, "x", 1, 0), -1) << "the copy can be changed";
    EXPECT_EQ(::ftruncate(fd, 0), -1) << "the copy can be cut";
    ::close(fd);
  }
  // What is copied from it is not everybody's either.
  fs::copy_file(opened->load_path(), folder_ + "/copied.so");
  EXPECT_EQ(fs::status(folder_ + "/copied.so").permissions(), fs::perms::owner_read);
}

// A reload needs a name of its own: the linker takes one path, and one inode, for one library.
TEST_F(Trust, TheSameFileIsLoadedBesideItself) {
  fs::copy_file(kEcho, file_, fs::copy_options::overwrite_existing);
  sign();
  Result<OpenedModule> first = open_trusted(file_, required());
  Result<OpenedModule> second = open_trusted(file_, required());
  ASSERT_TRUE(first.ok() && second.ok());
  Loaded old_one(first->load_path());
  Loaded new_one(second->load_path());
  EXPECT_NE(old_one.entry(), new_one.entry());
}

TEST_F(Trust, WithoutSignaturesItIsTheFileItself) {
  fs::copy_file(kEcho, file_, fs::copy_options::overwrite_existing);
  Result<OpenedModule> opened = open_trusted(file_, {});
  ASSERT_TRUE(opened.ok());
  EXPECT_FALSE(opened->is_copy());
  EXPECT_EQ(opened->load_path(), file_);
  EXPECT_EQ(opened->key_id(), "");
  struct stat by_path {};
  struct stat by_fd {};
  ASSERT_EQ(::stat(file_.c_str(), &by_path), 0);
  ASSERT_EQ(::fstat(opened->fd(), &by_fd), 0);
  EXPECT_EQ(by_path.st_ino, by_fd.st_ino);
  Loaded loaded(opened->load_path());
  EXPECT_NE(loaded.entry(), nullptr);
}

TEST_F(Trust, NothingStaysOpen) {
  auto open_files = [] {
    return std::distance(fs::directory_iterator("/proc/self/fd"), fs::directory_iterator());
  };
  sign();
  auto before = open_files();
  for (int i = 0; i < 20; ++i) {
    Result<OpenedModule> opened = open_trusted(file_, required());
    ASSERT_TRUE(opened.ok());
    OpenedModule moved = std::move(*opened);
    opened = open_trusted(file_, {});
    moved = std::move(*opened);
    (void)open_unsigned(folder_ + "/nothing");
    (void)open_unsigned(folder_);
  }
  EXPECT_EQ(open_files(), before);
}

// ---- verbs

class TrustVerbs : public Trust {
 protected:
  void SetUp() override {
    fs::copy_file(kEcho, file_, fs::copy_options::overwrite_existing);
    write(folder_ + "/none.conf", "");
    ::unsetenv("IMCTL_HOST__MODULE_KEYS");
  }
  void TearDown() override { ::unsetenv("IMCTL_HOST__MODULE_KEYS"); }

  int run(std::vector<std::string> arguments) {
    arguments.insert(arguments.end(), {"--config", folder_ + "/none.conf"});
    std::ostringstream out;
    std::ostringstream err;
    static const bool added = (cli::add_host_verbs(), true);
    (void)added;
    cli::App app({out, err, -1, 0},
                 [](const cli::Flags&) -> Result<std::unique_ptr<cli::Transport>> {
                   return Status(IMCTL_INTERNAL, "it takes no host");
                 });
    int code = app.run(arguments);
    out_ = out.str();
    err_ = err.str();
    return code;
  }
  bool out_has(const std::string& text) const { return out_.find(text) != std::string::npos; }
  bool err_has(const std::string& text) const { return err_.find(text) != std::string::npos; }
  mode_t mode(const std::string& path) const {
    struct stat info {};
    EXPECT_EQ(::stat(path.c_str(), &info), 0) << path;
    return info.st_mode & 07777;
  }

  std::string out_;
  std::string err_;
};

TEST_F(TrustVerbs, FromKeyToVerified) {
  const std::string key = folder_ + "/key";
  mode_t mask = ::umask(0);
  int made = run({"module", "keygen", key});
  ::umask(mask);
  ASSERT_EQ(made, 0) << err_;
  EXPECT_EQ(mode(key), 0600U);
  std::string public_key = read(key + ".pub");
  EXPECT_TRUE(out_has("module_keys = " + public_key)) << out_;
  EXPECT_FALSE(out_has(read(key).substr(15, 20)));
  public_key.pop_back();

  ASSERT_EQ(run({"module", "sign", file_, "--key", key}), 0) << err_;
  EXPECT_TRUE(out_has("echo")) << out_;
  ASSERT_EQ(run({"module", "verify", file_, "--key", public_key}), 0) << err_;
  ASSERT_EQ(run({"module", "verify", "--key=" + key + ".pub", file_, "-o", "json"}), 0) << err_;
  EXPECT_TRUE(out_has("\"signature\": \"good\"") && out_has(public_key)) << out_;
  Result<TrustPolicy> policy = TrustPolicy::make(true, {public_key});
  EXPECT_TRUE(open_trusted(file_, *policy).ok());

  // As the host of these settings would.
  EXPECT_EQ(run({"module", "verify", file_}), 2);
  EXPECT_TRUE(err_has("host.module_keys"));
  write(folder_ + "/none.conf", "[host]\nmodule_keys = " + other_.public_key().text() +
                                    "\nmodule_keys = " + public_key + "\n");
  EXPECT_EQ(run({"module", "verify", file_}), 0) << err_;
  ::setenv("IMCTL_HOST__MODULE_KEYS", other_.public_key().text().c_str(), 1);
  EXPECT_EQ(run({"module", "verify", file_}), 6);
  EXPECT_TRUE(out_has("unknown-key")) << out_;

  // A second key is not put over the first.
  std::string before = read(key);
  EXPECT_EQ(run({"module", "keygen", key}), 6);
  EXPECT_TRUE(err_has("ALREADY_EXISTS"));
  fs::remove(key);
  EXPECT_EQ(run({"module", "keygen", key}), 6) << "over .pub";
  EXPECT_FALSE(fs::exists(key)) << "half a pair";
}

TEST_F(TrustVerbs, VerifySaysWhatIsWrong) {
  const std::string key = key_.public_key().text();
  EXPECT_EQ(run({"module", "verify", file_, "--key", key}), 6);
  EXPECT_TRUE(out_has("unsigned") && err_has("not signed")) << err_;
  sign();
  write(folder_ + "/b.so", "b");
  sign(folder_ + "/b.so", other_);
  EXPECT_EQ(run({"module", "verify", file_, folder_ + "/b.so", "--key", key}), 6);
  EXPECT_TRUE(out_has("good") && out_has("unknown-key")) << out_;
  write(folder_ + "/b.so", "c");
  EXPECT_EQ(run({"module", "verify", folder_ + "/b.so", "--key", other_.public_key().text()}), 6);
  EXPECT_TRUE(out_has("bad")) << out_;
  write(folder_ + "/b.so.sig", "c");
  EXPECT_EQ(run({"module", "verify", folder_ + "/b.so", "-o", "jsonl", "--key", key}), 6);
  EXPECT_TRUE(out_has("\"malformed\"")) << out_;
  EXPECT_EQ(run({"module", "verify", folder_ + "/nothing.so", "--key", key}), 3);
  EXPECT_EQ(run({"module", "verify", "--key", key}), 2);
  EXPECT_EQ(run({"module", "verify", file_, "--kye", key}), 2);
  EXPECT_TRUE(err_has("did you mean `key`?")) << err_;

  // A good signature in a bad place.
  ASSERT_EQ(::chmod(file_.c_str(), 0646), 0);
  EXPECT_EQ(run({"module", "verify", file_, "--key", key}), 0);
  EXPECT_TRUE(err_has("would not load it") && err_has("chmod o-w")) << err_;
}

TEST_F(TrustVerbs, SignRefusesWhatIsNotMeant) {
  const std::string key = folder_ + "/key";
  write(key, key_.text() + "\n");
  ASSERT_EQ(::chmod(key.c_str(), 0640), 0);
  EXPECT_EQ(run({"module", "sign", file_, "--key", key}), 6);
  EXPECT_TRUE(err_has("chmod 600")) << err_;
  ASSERT_EQ(::chmod(key.c_str(), 0600), 0);

  // Nothing is signed if one is no module.
  EXPECT_EQ(run({"module", "sign", file_, key, "--key", key}), 1);
  EXPECT_TRUE(err_has("not a shared object")) << err_;
  EXPECT_FALSE(fs::exists(file_ + ".sig"));
  EXPECT_EQ(run({"module", "sign", file_, "--key", key, "--dry-run"}), 0) << err_;
  EXPECT_TRUE(err_has("nothing was changed"));
  EXPECT_FALSE(fs::exists(file_ + ".sig"));

  write(folder_ + "/pub", key_.public_key().text());
  EXPECT_EQ(run({"module", "sign", file_, "--key", folder_ + "/pub"}), 1);
  EXPECT_TRUE(err_has("public key")) << err_;
  EXPECT_EQ(run({"module", "sign", file_, "--key", key_.text()}), 2);
  EXPECT_FALSE(err_has(key_.text().substr(15, 10))) << "the secret is shown";
  EXPECT_EQ(run({"module", "sign", file_}), 2);
  EXPECT_EQ(run({"module", "sign", "--key", key}), 2);
  EXPECT_EQ(run({"module", "sign", folder_ + "/nothing.so", "--key", key}), 3);

  // Through a link, beside the file itself; and again, over the old one.
  fs::create_directory(folder_ + "/links");
  fs::create_symlink(file_, folder_ + "/links/l.so");
  for (int i = 0; i < 2; ++i) {
    ASSERT_EQ(run({"module", "sign", folder_ + "/links/l.so", "--key", key, "-o", "name"}), 0);
    EXPECT_EQ(out_, file_ + ".sig\n");
  }
  EXPECT_EQ(mode(file_ + ".sig"), 0644U);
  EXPECT_FALSE(fs::exists(folder_ + "/links/l.so.sig"));
  EXPECT_TRUE(open().ok()) << open().message();
}

}  // namespace
}  // namespace imctl::host
