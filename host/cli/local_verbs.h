// Verbs that are the program's own and need no running host. One more: a line in the table of
// local_verbs.cc.
#ifndef IMCTL_HOST_CLI_LOCAL_VERBS_H
#define IMCTL_HOST_CLI_LOCAL_VERBS_H

#include <ostream>
#include <string>
#include <vector>

#include "cli/flags.h"
#include "imctl/status.h"

namespace imctl::host::cli {

struct LocalCall {
  const Flags& flags;
  std::vector<std::string> arguments;  // after the verb
  std::ostream& out;
  std::ostream& err;
  bool usage = false;  // set with an error: it is of usage
};

struct LocalVerb {
  const char* path;       // "module inspect"
  const char* arguments;  // "FILE.so"
  const char* summary;    // one line
  const char* description;
  bool takes_settings;  // --set means something
  Status (*run)(LocalCall& call);
};

const std::vector<LocalVerb>& local_verbs();

// The one whose path `words` begin with, or nullptr.
const LocalVerb* find_local_verb(const std::vector<std::string>& words);

std::string local_help(const LocalVerb& verb);
std::vector<std::vector<std::string>> local_paths();
// Their first words.
std::vector<std::string> local_nouns();

// The verbs themselves, a file each.
Status serve(LocalCall& call);
Status inspect_module(LocalCall& call);
Status make_module_key(LocalCall& call);
Status sign_module(LocalCall& call);
Status verify_module(LocalCall& call);

}  // namespace imctl::host::cli

#endif  // IMCTL_HOST_CLI_LOCAL_VERBS_H
