#include <langinfo.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <clocale>
#include <cstdlib>
#include <exception>
#include <iostream>
#include <string>
#include <vector>

#include "cli/address.h"
#include "cli/app.h"
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
  Result<std::string> address =
      flags.server.empty() ? default_address(flags.config) : Result<std::string>(flags.server);
  if (!address.ok()) return address.status();
  return make_grpc_transport(*address);
}

size_t terminal_width() {
  if (::isatty(STDOUT_FILENO) == 0) return 0;
  winsize size{};
  if (::ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 0) return size.ws_col;
  return 80;
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
    imctl::host::cli::App app({std::cout, std::cerr, STDIN_FILENO, terminal_width()},
                              open_transport);
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
