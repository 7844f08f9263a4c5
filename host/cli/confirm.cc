#include "cli/confirm.h"

#include <fcntl.h>
#include <unistd.h>

#include "cli/text.h"

namespace imctl::host::cli {

Result<bool> confirm(const Terminal& terminal, const std::string& question) {
  int fd = terminal.asks ? ::open("/dev/tty", O_RDONLY | O_CLOEXEC) : -1;
  if (fd < 0) {
    return Status(IMCTL_INVALID_ARGUMENT,
                  "this asks first (" + clean_line(question) +
                      ") and there is no terminal to ask on: add --yes if it is what you want");
  }
  terminal.out.flush();
  terminal.err << clean_line(question) << " [y/N] " << std::flush;
  std::string answer;
  char c = 0;
  while (::read(fd, &c, 1) == 1 && c != '\n') answer += c;
  ::close(fd);
  answer = lower(answer);
  return answer == "y" || answer == "yes";
}

}  // namespace imctl::host::cli
