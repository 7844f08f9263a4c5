// `imctl tls init`, `issue` and `show`: certificates for a small cluster. docs/tls.md.
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <charconv>
#include <cstring>
#include <filesystem>
#include <optional>
#include <utility>

#include "cli/files.h"
#include "cli/host_verbs.h"
#include "cli/text.h"
#include "cli/tls_certificate.h"
#include "cli/tree.h"

namespace imctl::host::cli {
namespace {

namespace fs = std::filesystem;

constexpr int kAuthorityDays = 3653;
constexpr int kDefaultDays = 365;
constexpr size_t kNameLimit = 64;  // of a subject
constexpr size_t kFileLimit = size_t{1} << 20;

std::string folder_of(const LocalArguments& arguments) {
  if (arguments.has("dir")) return arguments.get("dir");
  std::string base = env("XDG_CONFIG_HOME");
  if (base.empty()) base = env("HOME") + "/.config";
  return base + "/imctl/tls";
}

struct Text {
  std::string text;
  bool exposed = false;  // others than the owner may read the file
};

Result<Text> read_text(const std::string& path) {
  File file(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NOCTTY));
  struct stat info {};
  if (file.get() < 0 || ::fstat(file.get(), &info) != 0) return file_error(path, errno);
  Text read{{}, S_ISREG(info.st_mode) && (info.st_mode & 077) != 0};
  std::array<char, 4096> block{};
  while (read.text.size() <= kFileLimit) {
    const ssize_t n = ::read(file.get(), block.data(), block.size());
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return file_error(path, errno);
    if (n == 0) break;
    read.text.append(block.data(), static_cast<size_t>(n));
  }
  ::explicit_bzero(block.data(), block.size());
  return read;
}

Result<Key> read_key(const std::string& path) {
  Result<Text> text = read_text(path);
  if (!text.ok()) return text.status();
  Result<Key> key = parse_key(text->text);
  ::explicit_bzero(text->text.data(), text->text.size());
  if (!key.ok()) return Status(key.status().code(), path + ": " + key.status().message());
  if (text->exposed) {
    return Status(IMCTL_FAILED_PRECONDITION, path +
                                                 ": others than its owner may read this key: chmod "
                                                 "600 it, and make a new one if they may have");
  }
  return key;
}

Result<std::vector<Certificate>> read_certificates(const std::string& path) {
  Result<Text> text = read_text(path);
  if (!text.ok()) return text.status();
  Result<std::vector<Certificate>> all = parse_certificates(text->text);
  if (!all.ok()) return Status(all.status().code(), path + ": " + all.status().message());
  return all;
}

Status write_key(const std::string& path, const Key& key, bool replace) {
  Result<std::string> pem = key_pem(key);
  if (!pem.ok()) return pem.status();
  Status status = replace ? replace_file(path, 0600, *pem) : create_file(path, 0600, *pem);
  ::explicit_bzero(pem->data(), pem->size());
  return status;
}

Status usage_error(LocalCall& call, const std::string& message) {
  call.usage = true;
  return {IMCTL_INVALID_ARGUMENT, message};
}

Tree strings(const std::vector<std::string>& all) {
  Tree list = Tree::list();
  for (const std::string& one : all) list.items.push_back(Tree::string(one));
  return list;
}

// What is in a certificate, for all of the verbs.
Tree tree_of(const Certificate& certificate) {
  const Names names = names_of(certificate);
  Tree tree = Tree::object();
  tree.add("subject", Tree::string(subject_of(certificate)));
  tree.add("issuer", Tree::string(issuer_of(certificate)));
  tree.add("hosts", strings(names.hosts));
  tree.add("identity", Tree::string(names.identity));
  tree.add("uses", strings(uses_of(certificate)));
  tree.add("begins", Tree::string(begin_of(certificate)));
  tree.add("ends", Tree::string(end_of(certificate)));
  tree.add("holds", Tree::literal(holds_now(certificate) ? "true" : "false"));
  return tree;
}

// `trees`: one for each certificate. `list`: also one alone is a list.
void print(LocalCall& call, const std::vector<Tree>& trees, bool list) {
  switch (call.flags.format()) {
    case Format::kJson:
    case Format::kYaml: {
      Tree all = Tree::object();
      Tree rows = Tree::list();
      rows.items = trees;
      all.add("certificates", std::move(rows));
      const Tree& shown = list ? all : trees.front();
      if (call.flags.format() == Format::kYaml) {
        call.out << to_yaml(shown);
      } else {
        call.out << to_json(shown, true) << '\n';
      }
      return;
    }
    case Format::kJsonLines:
      for (const Tree& tree : trees) call.out << to_json(tree, false) << '\n';
      return;
    case Format::kName:
      for (const Tree& tree : trees) call.out << clean_line(tree.items.front().text) << '\n';
      return;
    case Format::kTable:
    case Format::kWide: break;
  }
  for (const Tree& tree : trees) {
    if (&tree != trees.data()) call.out << '\n';
    for (size_t i = 0; i < tree.keys.size(); ++i) {
      const Tree& item = tree.items[i];
      std::vector<std::string> texts;
      for (const Tree& one : item.items) texts.push_back(one.text);
      const std::string text = item.kind == Tree::Kind::kList ? join(texts, ", ") : item.text;
      if (text.empty()) continue;
      std::string label = tree.keys[i];
      std::replace(label.begin(), label.end(), '_', ' ');
      label[0] = static_cast<char>(label[0] - 'a' + 'A');
      call.out << label << ":" << std::string(12 - std::min<size_t>(label.size(), 11), ' ')
               << clean_line(text) << '\n';
    }
  }
}

struct Authority {
  Certificate certificate;
  Key key;
};

Result<Authority> read_authority(const std::string& folder) {
  const std::string file = folder + "/ca.pem";
  Result<std::vector<Certificate>> certificates = read_certificates(file);
  if (!certificates.ok()) {
    if (certificates.status().code() != IMCTL_NOT_FOUND) return certificates.status();
    return Status(IMCTL_NOT_FOUND,
                  certificates.status().message() +
                      ": `imctl tls init` makes an authority, --dir names its folder");
  }
  Result<Key> key = read_key(folder + "/ca-key.pem");
  if (!key.ok()) return key.status();
  Authority authority{std::move(certificates->front()), std::move(*key)};
  if (!is_key_of(authority.key, authority.certificate)) {
    return Status(IMCTL_FAILED_PRECONDITION, folder + "/ca-key.pem is not the key of ca.pem");
  }
  if (!holds_now(authority.certificate)) {
    return Status(IMCTL_FAILED_PRECONDITION, file + ": the authority ended " +
                                                 end_of(authority.certificate) +
                                                 ": make a new one, and have all believe it");
  }
  return authority;
}

// What of the flags says whose it is.
Result<Names> read_names(LocalCall& call, const LocalArguments& arguments,
                         const std::string& name) {
  Names names;
  if (arguments.has("host")) names.hosts = arguments.repeated.at("host");
  for (const std::string& host : names.hosts) {
    if (!is_host_name(host)) {
      return usage_error(call,
                         "--host: '" + clean_line(host) + "' is no DNS name and no IP address");
    }
  }
  const std::vector<std::pair<const char*, bool>> kinds = {{"user", arguments.has("user")},
                                                           {"node", arguments.has("node")},
                                                           {"admin", arguments.has("admin")}};
  for (const auto& [kind, given] : kinds) {
    if (!given) continue;
    if (!names.identity.empty()) {
      return usage_error(call, "--user, --node and --admin: only one of them can come in with it");
    }
    const std::string who = kind == std::string("admin") ? name : arguments.get(kind);
    if (!is_identity_name(who) ||
        (kind != std::string("user") && who.find('@') != std::string::npos)) {
      return usage_error(call, std::string("--") + kind + ": '" + clean_line(who) +
                                   "' may be of letters, digits and ._-+ only" +
                                   (kind == std::string("user") ? ", and @" : ""));
    }
    names.identity = std::string(kIdentityScheme) + kind + "/" + who;
  }
  return names;
}

bool is_file_name(const std::string& name) {
  return is_identity_name(name) && name.size() <= kNameLimit && name.front() != '-' &&
         name != "ca" && !name.ends_with("-key");
}

}  // namespace

Status init_tls(LocalCall& call) {
  Result<LocalArguments> arguments = read_arguments(call, 0, 0);
  if (!arguments.ok()) return arguments.status();
  const std::string folder = folder_of(*arguments);
  for (const char* name : {"/ca.pem", "/ca-key.pem"}) {
    struct stat info {};
    if (::lstat((folder + name).c_str(), &info) == 0) {
      return {IMCTL_ALREADY_EXISTS,
              folder + name +
                  " is there already: whatever was issued with it would not be believed any more. "
                  "Name another folder with --dir, or move it away first"};
    }
  }
  std::array<char, 65> machine{};
  (void)::gethostname(machine.data(), machine.size() - 1);
  std::string name = "imctl authority";
  if (is_host_name(machine.data())) name += std::string(" of ") + machine.data();
  Result<Key> key = make_key();
  if (!key.ok()) return key.status();
  Result<Certificate> certificate =
      make_authority(*key, name.substr(0, kNameLimit), kAuthorityDays);
  if (!certificate.ok()) return certificate.status();
  Result<std::string> pem = certificate_pem(*certificate);
  if (!pem.ok()) return pem.status();
  if (call.flags.dry_run) {
    call.err << "dry run: nothing was changed\n";
    return {};
  }
  std::error_code error;
  if (fs::create_directories(folder, error)) fs::permissions(folder, fs::perms::owner_all, error);
  if (error) return file_error(folder, error.value());
  Status status = write_key(folder + "/ca-key.pem", *key, false);
  if (!status.ok()) return status;
  status = create_file(folder + "/ca.pem", 0644, *pem);
  if (!status.ok()) {
    ::unlink((folder + "/ca-key.pem").c_str());
    return status;
  }
  Tree tree = tree_of(*certificate);
  tree.add("file", Tree::string(folder + "/ca.pem"));
  tree.add("key_file", Tree::string(folder + "/ca-key.pem"));
  print(call, {tree}, false);
  return {};
}

Status issue_certificate(LocalCall& call) {
  Result<LocalArguments> arguments = read_arguments(call, 1, 1);
  if (!arguments.ok()) return arguments.status();
  const std::string& name = arguments->words.front();
  if (!is_file_name(name)) {
    return usage_error(call,
                       "'" + clean_line(name) +
                           "' is no name for a certificate: letters, digits and ._-+@, at most 64, "
                           "not `ca` and not ending with `-key`");
  }
  int days = kDefaultDays;
  const std::string days_text = arguments->get("days");
  if (arguments->has("days") &&
      (std::from_chars(days_text.data(), days_text.data() + days_text.size(), days).ptr !=
           days_text.data() + days_text.size() ||
       days < 1 || days > kAuthorityDays)) {
    return usage_error(call, "--days: give 1 to " + std::to_string(kAuthorityDays));
  }
  Result<Names> names = read_names(call, *arguments, name);
  if (!names.ok()) return names.status();
  const std::string folder = folder_of(*arguments);
  Result<Authority> authority = read_authority(folder);
  if (!authority.ok()) return authority.status();
  const std::string file = folder + "/" + name + ".pem";
  const std::string key_file = folder + "/" + name + "-key.pem";
  const bool renewed = fs::exists(fs::symlink_status(file));
  if (names->hosts.empty() && names->identity.empty()) {
    if (!renewed) {
      return usage_error(
          call,
          "whose is it? --host NAME for a host, --user, --node or --admin for who comes "
          "in with it");
    }
    Result<std::vector<Certificate>> before = read_certificates(file);
    if (!before.ok()) return before.status();
    if (!is_signed_by(before->front(), authority->certificate)) {
      return {IMCTL_FAILED_PRECONDITION,
              file +
                  ": is not of this authority; say whose the new one is: --host, --user, --node, "
                  "--admin"};
    }
    *names = names_of(before->front());
  }
  const bool keep = fs::exists(fs::symlink_status(key_file)) && !arguments->has("new-key");
  Result<Key> key = keep ? read_key(key_file) : make_key();
  if (!key.ok()) return key.status();
  Result<Certificate> certificate =
      issue({authority->certificate, authority->key}, *key, name, *names, days);
  if (!certificate.ok()) return certificate.status();
  Result<std::string> pem = certificate_pem(*certificate);
  if (!pem.ok()) return pem.status();
  if (!call.flags.dry_run) {
    Status status = keep ? Status() : write_key(key_file, *key, true);
    if (status.ok()) status = replace_file(file, 0644, *pem);
    if (!status.ok()) return status;
  }
  Tree tree = tree_of(*certificate);
  tree.add("file", Tree::string(file));
  tree.add("key_file", Tree::string(key_file));
  tree.add("renewed", Tree::literal(renewed ? "true" : "false"));
  print(call, {tree}, false);
  if (call.flags.dry_run) call.err << "dry run: nothing was changed\n";
  return {};
}

Status show_certificates(LocalCall& call) {
  Result<LocalArguments> arguments = read_arguments(call, 1, 1);
  if (!arguments.ok()) return arguments.status();
  Result<std::vector<Certificate>> certificates = read_certificates(arguments->words.front());
  if (!certificates.ok()) return certificates.status();
  std::vector<Tree> trees;
  for (const Certificate& one : *certificates) trees.push_back(tree_of(one));
  print(call, trees, true);
  return {};
}

}  // namespace imctl::host::cli
