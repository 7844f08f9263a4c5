// `imctl module keygen`, `sign` and `verify`: who vouches for a module's file. The format and what
// it is good for: docs/module-signatures.md.
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <boost/program_options.hpp>
#include <cerrno>
#include <utility>

#include "cli/address.h"
#include "cli/files.h"
#include "cli/host_verbs.h"
#include "cli/suggest.h"
#include "cli/table.h"
#include "cli/text.h"
#include "cli/tree.h"
#include "core/module_file.h"
#include "core/module_trust.h"
#include "core/settings_file.h"
#include "core/settings_text.h"

namespace imctl::host::cli {
namespace {

namespace po = boost::program_options;

struct Words {
  std::vector<std::string> files;
  std::vector<std::string> keys;  // of --key
};

Result<Words> parse_words(LocalCall& call, bool takes_keys) {
  call.usage = true;
  Words words;
  po::options_description known;
  known.add_options()("file", po::value(&words.files));
  if (takes_keys) known.add_options()("key", po::value(&words.keys));
  try {
    po::variables_map values;
    po::store(
        po::command_line_parser(call.arguments)
            .options(known)
            .positional(po::positional_options_description().add("file", -1))
            .style(po::command_line_style::unix_style & ~po::command_line_style::allow_guessing)
            .run(),
        values);
    po::notify(values);
  } catch (const po::unknown_option& error) {
    std::string flag = error.get_option_name();
    std::string bare = flag.substr(std::min(flag.find_first_not_of('-'), flag.size()));
    std::vector<std::string> names = flag_names();
    if (takes_keys) names.emplace_back("key");
    return Status(IMCTL_INVALID_ARGUMENT,
                  "no such flag " + clean_line(flag) + did_you_mean(bare, names));
  } catch (const po::error& error) {
    return Status(IMCTL_INVALID_ARGUMENT, clean_line(error.what()));
  }
  call.usage = false;
  return words;
}

Status usage_error(LocalCall& call, const std::string& message) {
  call.usage = true;
  return {IMCTL_INVALID_ARGUMENT, message};
}

// ---- keys' files

struct KeyText {
  std::string text;
  bool exposed = false;  // others than the owner may read the file
};

// A key's file; also a pipe, so that a secret needs no file.
Result<KeyText> read_key_file(const std::string& path) {
  File file(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NOCTTY));
  struct stat info {};
  if (file.get() < 0 || ::fstat(file.get(), &info) != 0) return file_error(path, errno);
  constexpr size_t kLongest = 4096;
  KeyText key{{}, S_ISREG(info.st_mode) && (info.st_mode & 077) != 0};
  key.text.reserve(kLongest);  // stays where it is, so that it can be wiped
  while (key.text.size() < kLongest) {
    size_t size = key.text.size();
    key.text.resize(kLongest);
    ssize_t n = ::read(file.get(), key.text.data() + size, kLongest - size);
    int error = errno;
    key.text.resize(size + static_cast<size_t>(std::max<ssize_t>(n, 0)));
    if (n < 0 && error != EINTR) return file_error(path, error);
    if (n == 0) break;
  }
  return key;
}

// Not a file that has such a name.
bool is_key_text(const std::string& word) {
  return word.starts_with("ed25519:") || word.starts_with("ed25519-secret:");
}

void wipe(std::string& text) { ::explicit_bzero(text.data(), text.size()); }

// ---- printing

Tree boolean(bool value) { return Tree::literal(value ? "true" : "false"); }

struct Column {
  size_t item;  // of a row
  const char* header;
  bool wide = false;
};

// `rows`: a list of objects.
void print_rows(LocalCall& call, Tree rows, const std::vector<Column>& columns) {
  switch (call.flags.format()) {
    case Format::kJson:
    case Format::kYaml: {
      Tree all = Tree::object();
      all.add("modules", std::move(rows));
      if (call.flags.format() == Format::kYaml) {
        call.out << to_yaml(all);
      } else {
        call.out << to_json(all, true) << '\n';
      }
      break;
    }
    case Format::kJsonLines:
      for (const Tree& row : rows.items) call.out << to_json(row, false) << '\n';
      break;
    case Format::kName:
      for (const Tree& row : rows.items) {
        call.out << clean_line(row.items[columns.front().item].text) << '\n';
      }
      break;
    case Format::kTable:
    case Format::kWide: {
      std::vector<Column> shown;
      std::vector<std::string> headers;
      for (const Column& column : columns) {
        if (column.wide && call.flags.format() != Format::kWide) continue;
        shown.push_back(column);
        headers.emplace_back(column.header);
      }
      Table table(headers, {call.flags.headers});
      for (const Tree& row : rows.items) {
        std::vector<std::string> cells;
        cells.reserve(shown.size());
        for (const Column& column : shown) cells.push_back(row.items[column.item].text);
        table.add(cells);
      }
      table.flush(call.out);
    }
  }
}

void say_dry_run(const LocalCall& call) {
  if (call.flags.dry_run) call.err << "dry run: nothing was changed\n";
}

void print_key(LocalCall& call, const std::string& file, const PublicKey& key) {
  Tree tree = Tree::object();
  tree.add("public_key", Tree::string(key.text()));
  tree.add("key_id", Tree::string(key.id()));
  tree.add("secret_key_file", Tree::string(file));
  tree.add("public_key_file", Tree::string(file + ".pub"));
  switch (call.flags.format()) {
    case Format::kJson: call.out << to_json(tree, true) << '\n'; break;
    case Format::kJsonLines: call.out << to_json(tree, false) << '\n'; break;
    case Format::kYaml: call.out << to_yaml(tree); break;
    case Format::kName: call.out << key.text() << '\n'; break;
    case Format::kTable:
    case Format::kWide:
      call.out
          << "Secret key:  " << clean_line(file)
          << " (whoever has it can sign: keep it away from the hosts)\n"
          << "Public key:  " << clean_line(file) << ".pub\n"
          << "Where modules of this key are to be trusted, in section [host] of the settings:\n"
          << "module_keys = " << key.text() << '\n';
  }
}

// ---- keys of verify

Result<PublicKey> read_public_key(const std::string& word) {
  std::string text = word;
  std::string from = "--key";
  if (!is_key_text(word)) {
    Result<KeyText> content = read_key_file(word);
    if (!content.ok()) return content.status();
    text = std::move(content->text);
    from = word;
  }
  Result<PublicKey> key = PublicKey::parse(text);
  wipe(text);  // it may be a secret key, by mistake
  if (!key.ok()) return Status(key.status().code(), from + ": " + key.status().message());
  return key;
}

// host.module_keys of the config file in force and the environment, as the host would have it.
Result<std::vector<PublicKey>> keys_of_settings(const Flags& flags) {
  std::vector<std::string> texts;
  std::string from = config_file(flags.config);
  if (!from.empty()) {
    Result<SettingsFile> settings = read_settings_file(from);
    if (!settings.ok()) return settings.status();
    for (const SettingsFile::Entry& entry : settings->entries) {
      if (entry.section == "host" && entry.key == "module_keys") texts.push_back(entry.text);
    }
  }
  std::string variable = variable_name("host", "module_keys");
  if (std::string text = env(variable.c_str()); !text.empty()) {
    texts = {text};
    from = "env " + variable;
  }
  std::vector<std::string> keys;
  for (const std::string& text : texts) {
    for (size_t at = 0; at <= text.size();) {
      size_t end = std::min(text.find(',', at), text.size());
      std::string_view key = trim(std::string_view(text).substr(at, end - at));
      if (!key.empty()) keys.emplace_back(key);
      at = end + 1;
    }
  }
  Result<TrustPolicy> policy = TrustPolicy::make(false, keys);
  if (!policy.ok()) {
    return Status(policy.status().code(),
                  from + ": host.module_keys: " + policy.status().message());
  }
  return policy->keys;
}

const char* verdict_name(Verdict verdict) {
  switch (verdict) {
    case Verdict::kGood: return "good";
    case Verdict::kUnsigned: return "unsigned";
    case Verdict::kMalformed: return "malformed";
    case Verdict::kUnknownKey: return "unknown-key";
    case Verdict::kBad: break;
  }
  return "bad";
}

}  // namespace

Status make_module_key(LocalCall& call) {
  Result<Words> words = parse_words(call, false);
  if (!words.ok()) return words.status();
  if (words->files.size() != 1) {
    return usage_error(call, "it takes one argument, the file for the secret key");
  }
  const std::string& file = words->files.front();
  Result<SecretKey> key = SecretKey::generate();
  if (!key.ok()) return key.status();
  for (const std::string& path : {file, file + ".pub"}) {
    struct stat info {};
    if (::lstat(path.c_str(), &info) == 0) {
      return {IMCTL_ALREADY_EXISTS,
              path +
                  " is there already, and a key that is lost cannot be made again: name "
                  "another file, or move this one away first"};
    }
  }
  if (call.flags.dry_run) {
    say_dry_run(call);
    return {};
  }
  std::string text = key->text() + "\n";
  Status status = create_file(file, 0600, text);
  wipe(text);
  if (!status.ok()) return status;
  status = create_file(file + ".pub", 0644, key->public_key().text() + "\n");
  if (!status.ok()) {
    ::unlink(file.c_str());  // half a pair is of no use
    return status;
  }
  print_key(call, file, key->public_key());
  return {};
}

Status sign_module(LocalCall& call) {
  Result<Words> words = parse_words(call, true);
  if (!words.ok()) return words.status();
  if (words->files.empty()) return usage_error(call, "it takes modules' shared objects to sign");
  if (words->keys.size() != 1) {
    return usage_error(call,
                       "it takes one --key FILE, the secret key that `imctl module keygen` "
                       "made");
  }
  const std::string& key_file = words->keys.front();
  if (is_key_text(key_file)) {
    return usage_error(call,
                       "--key takes a file, since every process can read a command line; a "
                       "secret key that was on one should not be used any more");
  }
  Result<KeyText> text = read_key_file(key_file);
  if (!text.ok()) return text.status();
  Result<SecretKey> key = SecretKey::parse(text->text);
  wipe(text->text);
  if (!key.ok()) return {key.status().code(), key_file + ": " + key.status().message()};
  if (text->exposed) {
    return {IMCTL_FAILED_PRECONDITION,
            key_file + ": others than its owner may read this secret key: chmod 600 " + key_file +
                ", and make a new pair if they may have"};
  }

  // All are looked at before the first is signed.
  std::vector<std::string> lines;
  Tree rows = Tree::list();
  for (const std::string& path : words->files) {
    Result<ModuleFile> module = read_module_file(path);
    if (!module.ok()) return module.status();
    Result<std::string> line = sign_file(path, *key);
    if (!line.ok()) return line.status();
    Result<std::string> signature = signature_path(path);
    if (!signature.ok()) return signature.status();
    lines.push_back(std::move(*line));
    Tree row = Tree::object();
    row.add("signature_file", Tree::string(*signature));
    row.add("module", Tree::string(module->manifest.name()));
    row.add("version", Tree::string(module->manifest.version()));
    row.add("key_id", Tree::string(key->public_key().id()));
    rows.items.push_back(std::move(row));
  }
  for (size_t i = 0; i < lines.size() && !call.flags.dry_run; ++i) {
    Status status = replace_file(rows.items[i].items[0].text, 0644, lines[i]);
    if (!status.ok()) return status;
  }
  print_rows(call, std::move(rows), {{0, "SIGNATURE"}, {1, "MODULE"}, {2, "VERSION"}, {3, "KEY"}});
  say_dry_run(call);
  return {};
}

Status verify_module(LocalCall& call) {
  Result<Words> words = parse_words(call, true);
  if (!words.ok()) return words.status();
  if (words->files.empty()) return usage_error(call, "it takes modules' shared objects to verify");
  std::vector<PublicKey> keys;
  for (const std::string& word : words->keys) {
    Result<PublicKey> key = read_public_key(word);
    if (!key.ok()) return key.status();
    keys.push_back(*key);
  }
  if (words->keys.empty()) {
    Result<std::vector<PublicKey>> found = keys_of_settings(call.flags);
    if (!found.ok()) return found.status();
    keys = std::move(*found);
    if (keys.empty()) {
      return usage_error(call,
                         "whose signature? The settings have no host.module_keys: give "
                         "--key with a public key or its file");
    }
  }

  Tree rows = Tree::list();
  std::vector<std::string> notes;
  std::vector<Status> problems;
  for (const std::string& path : words->files) {
    Result<SignatureCheck> check = check_signature(path, keys);
    if (!check.ok()) return check.status();
    Status place = check_place(path);
    bool good = check->verdict == Verdict::kGood;
    if (!good) problems.emplace_back(IMCTL_FAILED_PRECONDITION, check->problem);
    if (good && !place.ok()) notes.push_back(place.message());
    Tree row = Tree::object();
    row.add("file", Tree::string(path));
    row.add("signature", Tree::string(verdict_name(check->verdict)));
    row.add("key_id", Tree::string(check->key_id));
    row.add("key", Tree::string(good ? check->key->text() : ""));
    row.add("problem", Tree::string(check->problem));
    row.add("place_ok", boolean(place.ok()));
    row.add("place_problem", Tree::string(place.message()));
    rows.items.push_back(std::move(row));
  }
  size_t all = rows.items.size();
  print_rows(call, std::move(rows),
             {{0, "FILE"}, {1, "SIGNATURE"}, {2, "KEY"}, {4, "PROBLEM", true}});
  call.out.flush();
  for (const std::string& note : notes) {
    call.err << "imctl: module verify: a host of this user would not load it all the same: "
             << clean_line(note) << '\n';
  }
  if (problems.empty()) return {};
  if (problems.size() == 1) return problems.front();
  for (const Status& problem : problems) {
    call.err << "imctl: module verify: " << clean_line(problem.message()) << '\n';
  }
  return {IMCTL_FAILED_PRECONDITION, std::to_string(problems.size()) + " of " +
                                         std::to_string(all) + " files are not to be trusted"};
}

}  // namespace imctl::host::cli
