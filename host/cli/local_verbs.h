// Verbs that are the program's own and need no running host. One more: a line in the table of
// local_verbs.cc.
#ifndef IMCTL_HOST_CLI_LOCAL_VERBS_H
#define IMCTL_HOST_CLI_LOCAL_VERBS_H

#include <functional>
#include <map>
#include <ostream>
#include <string>
#include <vector>

#include "cli/flags.h"
#include "cli/session.h"
#include "cli/terminal.h"
#include "imctl/status.h"

namespace imctl::host::cli {

struct LocalVerb;

struct LocalCall {
  const LocalVerb& verb;
  const Flags& flags;
  std::vector<std::string> arguments;  // after the verb
  std::ostream& out;
  std::ostream& err;
  const Terminal& terminal;
  Session& session;  // not connected yet, unless it is a line of `imctl run`
  // Carries out a command line on the session; gives its exit code.
  std::function<int(const std::vector<std::string>&)> run_line;
  // Calls the method with the flags in the second; gives the exit code.
  std::function<int(const VerbEntry&, const std::vector<std::string>&)> run_method;
  // From now on no line may read standard input.
  std::function<void()> take_standard_input;
  bool usage = false;  // set with an error: it is of usage
  int code = 0;        // of a verb that went well: how the program ends
};

struct LocalFlag {
  const char* name;
  const char* value;  // how help calls it; nullptr: the flag takes none
  const char* kind;   // of the value, for completion: "file", "context"; may be nullptr
  const char* help;
  bool repeated = false;  // may be there several times
};

struct LocalVerb {
  const char* path;       // "module inspect"
  const char* arguments;  // "FILE.so"
  const char* summary;    // one line
  const char* description;
  bool takes_settings;  // --set means something
  // nullptr: it is the host program's (see host_program.h).
  Status (*run)(LocalCall& call);
  std::vector<LocalFlag> flags = {};
  // What its arguments name, for completion: "file", "context", "shell", "verb", "method".
  const char* completes = "";
  bool hidden = false;  // not for people
};

const std::vector<LocalVerb>& local_verbs();
// Gives a verb of the table what carries it out. Before the first use.
void set_local_verb(const std::string& path, Status (*run)(LocalCall& call));

// The one whose path `words` begin with, or nullptr.
const LocalVerb* find_local_verb(const std::vector<std::string>& words);

std::string local_help(const LocalVerb& verb, size_t width);
std::vector<std::vector<std::string>> local_paths();
// Their first words.
std::vector<std::string> local_nouns();

// A local verb's arguments and flags, as its entry in the table has them.
struct LocalArguments {
  std::vector<std::string> words;
  std::map<std::string, std::string> flags;
  std::map<std::string, std::vector<std::string>> repeated;  // of those that may be

  bool has(const std::string& flag) const { return flags.contains(flag); }
  std::string get(const std::string& flag) const { return has(flag) ? flags.at(flag) : ""; }
};
// `least`, `most`: how many words there may be. An error is of usage, and says what is missing.
Result<LocalArguments> read_arguments(LocalCall& call, size_t least, size_t most);

// The verbs themselves, a file each.
Status new_module(LocalCall& call);
Status add_context(LocalCall& call);
Status list_contexts(LocalCall& call);
Status use_context(LocalCall& call);
Status show_context(LocalCall& call);
Status delete_context(LocalCall& call);
Status log_in(LocalCall& call);
Status log_out(LocalCall& call);
Status explain(LocalCall& call);
Status list_api(LocalCall& call);
Status call_method(LocalCall& call);
Status run_lines(LocalCall& call);
Status complete_line(LocalCall& call);
Status show_completion(LocalCall& call);

}  // namespace imctl::host::cli

#endif  // IMCTL_HOST_CLI_LOCAL_VERBS_H
