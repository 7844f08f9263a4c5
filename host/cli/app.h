// The command line as a whole: from words to an exit code.
#ifndef IMCTL_HOST_CLI_APP_H
#define IMCTL_HOST_CLI_APP_H

#include <functional>
#include <memory>
#include <ostream>
#include <string>
#include <vector>

#include "cli/catalog.h"
#include "cli/exit_code.h"
#include "cli/flags.h"
#include "cli/interrupt.h"
#include "cli/transport.h"

namespace imctl::host::cli {

// What the program is connected to.
struct Terminal {
  std::ostream& out;  // data
  std::ostream& err;  // everything else
  int in = 0;         // requests, lines
  size_t width = 0;   // columns of `out`; 0: not a terminal
};

// Gives the way to the host that the flags name.
using OpenTransport = std::function<Result<std::unique_ptr<Transport>>(const Flags&)>;

class App {
 public:
  App(Terminal terminal, OpenTransport open);
  ~App();

  // `arguments`: without the program's name. Gives an ExitCode.
  int run(const std::vector<std::string>& arguments);

 private:
  int dispatch();
  int help(const std::vector<std::string>& words);
  int run_verb(const VerbEntry& verb, const std::vector<std::string>& tokens);
  int unknown(const std::vector<std::string>& words);
  // Opens the way to the host and gets the catalog.
  Status connect();
  // For help: an older catalog is better than none.
  Status connect_or_remember();
  // A message that begins with what was being done; gives the exit code back.
  int fail(const std::string& what, const Status& status);
  int usage(const std::string& what, const std::string& message, const std::string& help_for);

  Terminal terminal_;
  OpenTransport open_;
  Flags flags_;
  std::unique_ptr<InterruptWatch> interrupt_;
  std::unique_ptr<Transport> transport_;
  std::unique_ptr<Catalog> catalog_;
};

}  // namespace imctl::host::cli

#endif  // IMCTL_HOST_CLI_APP_H
