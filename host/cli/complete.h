// What may stand next on a command line, for the shells: see completion_scripts.cc.
#ifndef IMCTL_HOST_CLI_COMPLETE_H
#define IMCTL_HOST_CLI_COMPLETE_H

#include <string>
#include <vector>

#include "cli/flags.h"
#include "cli/session.h"

namespace imctl::host::cli {

struct Candidate {
  std::string text;   // in place of the whole last word
  std::string about;  // may be empty
};

struct Completion {
  std::vector<Candidate> candidates;
  bool files = false;  // the shell's own file names too
};

// `words`: those before the cursor, without the program's name; the last is the one that is being
// typed, and may be empty. Says nothing rather than fail: a host that does not answer soon has no
// live objects.
Completion complete(Session& session, const std::vector<std::string>& words);

}  // namespace imctl::host::cli

#endif  // IMCTL_HOST_CLI_COMPLETE_H
