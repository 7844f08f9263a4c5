#include "cli/program.h"

#include <langinfo.h>
#include <unistd.h>

#include <clocale>
#include <cstdlib>
#include <exception>
#include <iostream>
#include <string>
#include <vector>

#include "cli/app.h"
#include "cli/text.h"

namespace imctl::host::cli {
namespace {

// Widths of characters are asked of the locale: it must know UTF-8.
void set_locale() {
  // NOLINTBEGIN(concurrency-mt-unsafe): there is one thread yet
  if (std::setlocale(LC_CTYPE, "") == nullptr || std::string(::nl_langinfo(CODESET)) != "UTF-8") {
    (void)std::setlocale(LC_CTYPE, "C.UTF-8");
  }
  // NOLINTEND(concurrency-mt-unsafe)
}

}  // namespace

int run_program(int argc, char** argv, const OpenTransport& open) {
  int code = kFailed;
  try {
    set_locale();
    std::vector<std::string> arguments(argv + 1, argv + argc);
    App app(standard_terminal(), open);
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

}  // namespace imctl::host::cli
