#include "cli/local_verbs.h"

#include <algorithm>

#include "cli/exit_code.h"
#include "cli/help.h"
#include "cli/text.h"

namespace imctl::host::cli {
namespace {

Status show_version(LocalCall& call) {
  call.out << version_line() << '\n';
  return {};
}

}  // namespace

const std::vector<LocalVerb>& local_verbs() {
  static const std::vector<LocalVerb> kVerbs = {
      {"serve", "", "Runs the host",
       "Loads the modules that the config file names and serves them until it is told to end "
       "(SIGINT,\n"
       "SIGTERM). The config file is --config, $IMCTL_CONFIG, ~/.config/imctl/imctl.conf or\n"
       "/etc/imctl/imctl.conf; --set and the environment override it.",
       true, serve},
      {"module inspect", "FILE.so", "Shows what a module is, without loading it",
       "Prints the manifest in a module's shared object: its name, version and ABI, the services "
       "that it\n"
       "serves with their methods and verbs, what it requires, its settings, and the libraries "
       "that it\n"
       "needs. None of its code runs. `-o json` gives the same for scripts.",
       false, inspect_module},
      {"module keygen", "FILE", "Makes a pair of keys to sign modules with",
       "Writes a new secret key to FILE, which only you may read, and the public one to FILE.pub. "
       "Neither\n"
       "may be there already. Prints the line for the settings of hosts that are to trust it; "
       "`-o name`\n"
       "prints the public key alone.",
       false, make_module_key},
      {"module sign", "--key FILE FILE.so...", "Signs a module's file",
       "Writes FILE.so.sig beside each module, an Ed25519 signature over the whole file. A host "
       "whose\n"
       "settings have `module_signatures = require` loads only modules that are signed by one of "
       "its\n"
       "module_keys.\n"
       "\n"
       "  --key FILE   the secret key that `imctl module keygen` made; /dev/stdin to read it from "
       "a "
       "pipe",
       false, sign_module},
      {"module verify", "FILE.so... [--key KEY]...", "Checks the signature of a module's file",
       "Says for each file whether it is what was signed, and by which key: good, unsigned, "
       "malformed,\n"
       "unknown-key or bad. Only if all are good is the exit code 0. Also says if a host of this "
       "user\n"
       "would refuse a file because others may change it.\n"
       "\n"
       "  --key KEY    a public key, or the file of one; may be repeated. Default: "
       "host.module_keys "
       "of the\n"
       "               config file and the environment",
       false, verify_module},
      {"version", "", "Shows the program's version", "The same as --version.", false, show_version},
  };
  return kVerbs;
}

const LocalVerb* find_local_verb(const std::vector<std::string>& words) {
  for (const LocalVerb& verb : local_verbs()) {
    std::vector<std::string> path = split_words(verb.path);
    if (path.size() <= words.size() && std::equal(path.begin(), path.end(), words.begin()))
      return &verb;
  }
  return nullptr;
}

std::string local_help(const LocalVerb& verb) {
  std::string text = std::string("Usage: imctl ") + verb.path;
  if (*verb.arguments != '\0') text += std::string(" ") + verb.arguments;
  text += std::string("\n\n") + verb.description + "\n";
  text += "\nExit codes:\n" + std::string(exit_code_help());
  return text + "\nThe flags of every verb: imctl --help\n";
}

std::vector<std::vector<std::string>> local_paths() {
  std::vector<std::vector<std::string>> paths = {{"help"}};
  for (const LocalVerb& verb : local_verbs()) paths.push_back(split_words(verb.path));
  return paths;
}

std::vector<std::string> local_nouns() {
  std::vector<std::string> nouns;
  for (const auto& path : local_paths()) nouns.push_back(path.front());
  return nouns;
}

}  // namespace imctl::host::cli
