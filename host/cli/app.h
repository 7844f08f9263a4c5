// The command line as a whole: from words to an exit code.
#ifndef IMCTL_HOST_CLI_APP_H
#define IMCTL_HOST_CLI_APP_H

#include <memory>
#include <string>
#include <vector>

#include "cli/catalog.h"
#include "cli/exit_code.h"
#include "cli/flags.h"
#include "cli/session.h"
#include "cli/terminal.h"
#include "cli/verb_call.h"
#include "cli/watch.h"

namespace imctl::host::cli {

class App {
 public:
  App(Terminal terminal, OpenTransport open);
  ~App();

  // `arguments`: without the program's name. Gives an ExitCode. Once.
  int run(const std::vector<std::string>& arguments);

 private:
  int dispatch();
  int help(const std::vector<std::string>& words);
  int run_local(const struct LocalVerb& local);
  int run_verb(const VerbEntry& verb, const std::vector<std::string>& tokens);
  // `imctl call`.
  int run_method(const VerbEntry& verb, const std::vector<std::string>& tokens);
  // One of `imctl run`'s: on the connection there is.
  int run_line(const std::vector<std::string>& words);
  // Calls once and tells what came of it.
  Round call_verb(const VerbEntry& verb, VerbCall& call, const Terminal& terminal);
  int unknown(const std::vector<std::string>& words);
  // A message that begins with what was being done; gives the exit code back.
  int fail(const std::string& what, const Status& status);
  int fail(const Terminal& terminal, const std::string& what, const Status& status);
  int usage(const std::string& what, const std::string& message, const std::string& help_for);

  Terminal terminal_;
  Flags flags_;
  bool running_ = false;  // lines of `imctl run`
  Session session_;
};

}  // namespace imctl::host::cli

#endif  // IMCTL_HOST_CLI_APP_H
