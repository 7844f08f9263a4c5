#include <langinfo.h>
#include <unistd.h>

#include <clocale>
#include <cstdlib>
#include <exception>
#include <iostream>
#include <string>
#include <vector>

#include "cli/app.h"
#include "cli/connection.h"
#include "cli/embedded_transport.h"
#include "cli/grpc_transport.h"
#include "cli/host_options.h"
#include "cli/text.h"

namespace {

using imctl::Result;
using imctl::host::HostOptions;
using imctl::host::cli::Flags;
using imctl::host::cli::Transport;

Result<std::unique_ptr<Transport>> open_transport(const Flags& flags) {
  using namespace imctl::host::cli;
  if (flags.embedded) {
    HostOptions options = host_options(flags);
    options.quiet = true;
    return make_embedded_transport(options);
  }
  Result<Connection> connection = find_connection(flags);
  if (!connection.ok()) return connection.status();
  return make_grpc_transport(*connection);
}

// Widths of characters are asked of the locale: it must know UTF-8.
void set_locale() {
  // NOLINTBEGIN(concurrency-mt-unsafe): there is one thread yet
  if (std::setlocale(LC_CTYPE, "") == nullptr || std::string(::nl_langinfo(CODESET)) != "UTF-8") {
    (void)std::setlocale(LC_CTYPE, "C.UTF-8");
  }
  // NOLINTEND(concurrency-mt-unsafe)
}

}  // namespace

int main(int argc, char** argv) {
  int code = imctl::host::cli::kFailed;
  try {
    set_locale();
    std::vector<std::string> arguments(argv + 1, argv + argc);
    imctl::host::cli::App app(imctl::host::cli::standard_terminal(), open_transport);
    code = app.run(arguments);
    std::cout.flush();
    std::cerr.flush();
    // A thread may still wait for standard input, with the app's descriptors in use.
    ::_exit(code);
  } catch (const std::exception& error) {
    std::cerr << "imctl: " << error.what() << '\n';
  }
  return code;
}
