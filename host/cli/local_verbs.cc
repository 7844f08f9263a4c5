#include "cli/local_verbs.h"

#include <algorithm>

#include "cli/exit_code.h"
#include "cli/help.h"
#include "cli/suggest.h"
#include "cli/text.h"

namespace imctl::host::cli {
namespace {

Status show_version(LocalCall& call) {
  call.out << version_line() << '\n';
  return {};
}

}  // namespace

namespace {

std::vector<LocalVerb>& all_verbs() {
  static std::vector<LocalVerb> kVerbs = {
      {"serve", "", "Runs the host",
       "Loads the modules that the config file names and serves them until it is told to end "
       "(SIGINT, SIGTERM). The config file is --config, $IMCTL_CONFIG, ~/.config/imctl/imctl.conf "
       "or "
       "/etc/imctl/imctl.conf; --set and the environment override it.",
       true, nullptr},
      {"module inspect",
       "FILE.so",
       "Shows what a module is, without loading it",
       "Prints the manifest in a module's shared object: its name, version and ABI, the services "
       "that it serves with their methods and verbs, what it requires, its settings, and the "
       "libraries that it needs. None of its code runs. `-o json` gives the same for scripts.",
       false,
       nullptr,
       {},
       "file"},
      {"module new",
       "NAME [--lang c++|c]",
       "Begins a module of your own",
       "Writes a small project that is complete: a service with a verb, a setting and a stored "
       "record, its test, and how to build it. It needs nothing but what is installed with imctl, "
       "a compiler and CMake.",
       false,
       new_module,
       {{"lang", "LANG", nullptr, "c++ (the default) or c"},
        {"dir", "DIR", "file", "the folder to write; default: NAME. It must not be there yet"}}},
      {"module check",
       "FILE.so",
       "Checks that a module keeps the rules",
       "The rules are in module-rules.md, by number. First the file is looked at, then it is "
       "loaded in processes of their own and driven through its life, with good and with bad "
       "requests. Says pass, fail or not applicable for each rule; only if none fails is the exit "
       "code 0. What the module requires of others is taken from the modules that are installed; "
       "settings without which it does not start are given with --set.",
       true,
       nullptr,
       {},
       "file"},
      {"__check", "FILE.so PROBE", "A part of module check", "", true, nullptr, {}, "", true},
      {"module keygen",
       "FILE",
       "Makes a pair of keys to sign modules with",
       "Writes a new secret key to FILE, which only you may read, and the public one to FILE.pub. "
       "Neither may be there already. Prints the line for the settings of hosts that are to trust "
       "it; `-o name` prints the public key alone.",
       false,
       nullptr,
       {},
       "file"},
      {"module sign",
       "--key FILE FILE.so...",
       "Signs a module's file",
       "Writes FILE.so.sig beside each module, an Ed25519 signature over the whole file. A host "
       "whose settings have `module_signatures = require` loads only modules that are signed by "
       "one of its module_keys.",
       false,
       nullptr,
       {{"key", "FILE", "file",
         "the secret key that `imctl module keygen` made; /dev/stdin to read it from a pipe"}},
       "file"},
      {"module verify",
       "FILE.so... [--key KEY]...",
       "Checks the signature of a module's file",
       "Says for each file whether it is what was signed, and by which key: good, unsigned, "
       "malformed, unknown-key or bad. Only if all are good is the exit code 0. Also says if a "
       "host "
       "of this user would refuse a file because others may change it.",
       false,
       nullptr,
       {{"key", "KEY", "file",
         "a public key, or the file of one; may be repeated. Default: host.module_keys of the "
         "config file and the environment"}},
       "file"},
      {"tls init",
       "",
       "Makes a certification authority for a small cluster",
       "Writes its certificate, ca.pem, which hosts and clients are to believe, and its key, "
       "ca-key.pem, "
       "which only you may read: whoever has it can be anybody. It holds for ten years. Neither "
       "file may "
       "be there already. Default folder: ~/.config/imctl/tls ($XDG_CONFIG_HOME).",
       false,
       nullptr,
       {{"dir", "DIR", "file", "the folder; made if need be"}}},
      {"tls issue",
       "NAME",
       "Makes or renews a certificate of that authority",
       "Writes NAME.pem, and NAME-key.pem, which only you may read, beside ca.pem. A host's "
       "certificate "
       "has the names by which clients reach it (--host); who comes in with one is a user, a node "
       "or an "
       "administrator (--user, --node, --admin). If there is one of that name it is renewed: "
       "with its key, and, if no flag says otherwise, for the same names. The file is replaced at "
       "once, so "
       "that a host that runs can read it at any time.",
       false,
       nullptr,
       {{"host", "NAME", nullptr, "a DNS name or an IP address of the host; may be repeated", true},
        {"user", "USER", nullptr, "who comes in with it is this user: ann@example.org"},
        {"node", "NODE", nullptr, "this node of the cluster"},
        {"admin", nullptr, nullptr, "an administrator, called NAME"},
        {"days", "DAYS", nullptr, "how long it holds; default: 365"},
        {"new-key", nullptr, nullptr, "a new key, also where one is renewed"},
        {"dir", "DIR", "file", "the folder of the authority"}}},
      {"tls show",
       "FILE",
       "Shows the certificates in a file",
       "Names, who comes in with it, how long it holds, what for. `-o json` gives the same for "
       "scripts.",
       false,
       nullptr,
       {},
       "file"},
      {"login",
       "USER",
       "Proves to the host who you are, for the commands that follow",
       "Asks for the password on the terminal and gets a token for it, which is kept in a file "
       "that only "
       "you may read, for the context in use, or for the host's address if there is none. Commands "
       "that "
       "follow send it to that host until it ends or `imctl logout`.",
       false,
       log_in,
       {{"password-file", "FILE", "file", "the password's file; - for a line of standard input"},
        {"device", "NAME", nullptr,
         "what the token is for; a later login for the same device ends it. Default: imctl, on "
         "this "
         "machine"}}},
      {"logout",
       "",
       "Ends the token of `imctl login`",
       "On the host, and here. If the host cannot be asked, the token stays; --forget removes it "
       "here alone.",
       false,
       log_out,
       {{"forget", nullptr, nullptr, "do not ask the host"}}},
      {"context add",
       "NAME --server ADDR [--flag VALUE]...",
       "Remembers a host by a name",
       "`--context NAME` and $IMCTL_CONTEXT then choose it, and `imctl context use NAME` makes it "
       "the one that is used when nothing else is said. It is kept in "
       "~/.config/imctl/contexts/NAME.conf ($XDG_CONFIG_HOME). --server ADDR is one of the flags "
       "of "
       "every verb; grpcs://HOST:PORT is one with TLS.",
       false,
       add_context,
       {{"token-file", "FILE", "file",
         "holds the token that proves who we are; read at every call, never copied"},
        {"tls-ca", "FILE", "file",
         "certificates (PEM) of those who vouch for the host; default: the system's"},
        {"tls-cert", "FILE", "file", "our own certificate (PEM)"},
        {"tls-key", "FILE", "file", "its key (PEM)"},
        {"tls-name", "NAME", nullptr,
         "the name in the host's certificate, if it is not the address's"},
        {"replace", nullptr, nullptr, "if there is one of that name, forget it"},
        {"use", nullptr, nullptr, "use it from now on"}}},
      {"context list", "", "Lists the contexts", "The one in use is marked.", false, list_contexts},
      {"context use",
       "NAME|--none",
       "Chooses the context for what follows",
       "It is used where neither --server, --context nor $IMCTL_SERVER, $IMCTL_CONTEXT say "
       "otherwise.",
       false,
       use_context,
       {{"none", nullptr, nullptr, "no context: the host of the config file"}},
       "context"},
      {"context show",
       "[NAME]",
       "Shows a context, or the one in use",
       "Files are named, not shown.",
       false,
       show_context,
       {},
       "context"},
      {"context delete",
       "NAME",
       "Forgets a context",
       "The files that it names stay.",
       false,
       delete_context,
       {},
       "context"},
      {"explain",
       "NOUN.VERB|package.Service/Method|package.Type",
       "Shows a verb's request, reply and errors field by field",
       "From the .proto files of the modules that the host has loaded; `-o json` gives the same "
       "for "
       "programs.",
       false,
       explain,
       {},
       "verb"},
      {"api",
       "[PREFIX]",
       "Lists every method that the host serves",
       "PREFIX: only methods whose names begin with it. `imctl explain` shows one, `imctl call` "
       "calls it.",
       false,
       list_api,
       {},
       "method"},
      {"call",
       "package.Service/Method [--flag VALUE]... [-f FILE|-]",
       "Calls any method",
       "Fields of the request are flags, as with verbs, or come with -f as JSON or YAML, one "
       "document "
       "a message where the method takes a stream of them: `-f -` sends them as they are typed. "
       "Replies are printed as they come, as JSON unless -o says otherwise.",
       false,
       call_method,
       {},
       "method"},
      {"run",
       "FILE|- [--keep-going]",
       "Carries out many command lines over one connection",
       "A line is what would stand after `imctl`; quotes and backslashes are as in a shell, `#` "
       "begins a comment. The first line that fails is named and ends it; exit code 8 says that "
       "lines before it were carried out. --dry-run, --yes, -o and --timeout hold for all lines.",
       false,
       run_lines,
       {{"keep-going", nullptr, nullptr, "go on after a line that fails; exit code 8 if some did"}},
       "file"},
      {"completion",
       "bash|zsh|fish",
       "Prints what makes a shell complete imctl's words",
       "The shell then asks imctl itself for verbs, flags, choices, files, contexts and what lives "
       "on the host.\n"
       "\n"
       "- bash, in ~/.bashrc: source <(imctl completion bash)\n"
       "- zsh, in ~/.zshrc after compinit: source <(imctl completion zsh)\n"
       "- fish, in ~/.config/fish/config.fish: imctl completion fish | source",
       false,
       show_completion,
       {},
       "shell"},
      {"__complete", "WORD...", "What may stand next", "", false, complete_line, {}, "", true},
      {"version", "", "Shows the program's version", "The same as --version.", false, show_version},
  };
  return kVerbs;
}

}  // namespace

const std::vector<LocalVerb>& local_verbs() { return all_verbs(); }

void set_local_verb(const std::string& path, Status (*run)(LocalCall& call)) {
  for (LocalVerb& verb : all_verbs()) {
    if (verb.path == path) verb.run = run;
  }
}

const LocalVerb* find_local_verb(const std::vector<std::string>& words) {
  for (const LocalVerb& verb : local_verbs()) {
    std::vector<std::string> path = split_words(verb.path);
    if (path.size() <= words.size() && std::equal(path.begin(), path.end(), words.begin()))
      return &verb;
  }
  return nullptr;
}

std::string local_help(const LocalVerb& verb, size_t width) {
  std::string text = std::string("Usage: imctl ") + verb.path;
  if (*verb.arguments != '\0') text += std::string(" ") + verb.arguments;
  text += "\n\n" + wrap(verb.description, 0, width);
  if (!verb.flags.empty()) {
    TwoColumns lines;
    for (const LocalFlag& flag : verb.flags) {
      lines.emplace_back(std::string("--") + flag.name +
                             (flag.value == nullptr ? "" : std::string(" ") + flag.value),
                         flag.help);
    }
    text += "\nFlags:\n" + two_columns(lines, width);
  }
  text += "\nExit codes:\n" + std::string(exit_code_help());
  return text + "\nThe flags of every verb: imctl --help\n";
}

Result<LocalArguments> read_arguments(LocalCall& call, size_t least, size_t most) {
  call.usage = true;
  LocalArguments read;
  std::vector<std::string> names = flag_names();
  for (const LocalFlag& flag : call.verb.flags) names.emplace_back(flag.name);
  bool only_words = false;
  for (size_t i = 0; i < call.arguments.size(); ++i) {
    const std::string& word = call.arguments[i];
    if (!only_words && word == "--") {
      only_words = true;
      continue;
    }
    if (only_words || word.size() < 2 || word[0] != '-') {
      read.words.push_back(word);
      continue;
    }
    size_t equals = word.find('=');
    std::string name = word.substr(0, equals);
    name.erase(0, name.find_first_not_of('-'));
    auto flag = std::find_if(call.verb.flags.begin(), call.verb.flags.end(),
                             [&](const LocalFlag& known) { return name == known.name; });
    if (flag == call.verb.flags.end() || !word.starts_with("--")) {
      return Status(IMCTL_INVALID_ARGUMENT, "no such flag " + clean_line(word.substr(0, equals)) +
                                                did_you_mean(name, names));
    }
    bool next = flag->value != nullptr && equals == std::string::npos;
    if (read.has(name) && !flag->repeated)
      return Status(IMCTL_INVALID_ARGUMENT, "--" + name + " is there twice");
    if (flag->value == nullptr && equals != std::string::npos)
      return Status(IMCTL_INVALID_ARGUMENT, "--" + name + " takes no value");
    if (next && i + 1 == call.arguments.size())
      return Status(IMCTL_INVALID_ARGUMENT, "--" + name + " needs a value");
    read.flags[name] =
        next ? call.arguments[++i] : word.substr(std::min(equals, word.size() - 1) + 1);
    if (flag->repeated) read.repeated[name].push_back(read.flags[name]);
  }
  if (read.words.size() > most) {
    return Status(IMCTL_INVALID_ARGUMENT,
                  "what is '" + clean_line(read.words[most]) + "' for? There " +
                      (most == 0 ? "are no arguments without a flag" : "is one argument too many"));
  }
  if (read.words.size() < least) {
    return Status(IMCTL_INVALID_ARGUMENT,
                  std::string("write `imctl ") + call.verb.path + " " + call.verb.arguments + "`");
  }
  call.usage = false;
  return read;
}

std::vector<std::vector<std::string>> local_paths() {
  std::vector<std::vector<std::string>> paths = {{"help"}};
  for (const LocalVerb& verb : local_verbs()) {
    if (!verb.hidden) paths.push_back(split_words(verb.path));
  }
  return paths;
}

std::vector<std::string> local_nouns() {
  std::vector<std::string> nouns;
  for (const auto& path : local_paths()) nouns.push_back(path.front());
  return nouns;
}

}  // namespace imctl::host::cli
