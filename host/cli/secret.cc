#include "cli/secret.h"

#include <fcntl.h>
#include <termios.h>
#include <unistd.h>

#include "cli/field_value.h"
#include "cli/terminal.h"

namespace imctl::host::cli {
namespace {

// False if a signal interrupted it.
bool read_line(int fd, std::string* line) {
  char c = 0;
  ssize_t n = 0;
  while ((n = ::read(fd, &c, 1)) == 1 && c != '\n') *line += c;
  if (!line->empty() && line->back() == '\r') line->pop_back();
  return n >= 0;
}

Result<std::string> ask(const std::string& label) {
  int fd = ::open("/dev/tty", O_RDWR | O_CLOEXEC);
  if (fd < 0) {
    return Status(IMCTL_INVALID_ARGUMENT,
                  "there is no terminal to ask on: use =@FILE or =- instead");
  }
  termios before{};
  (void)::tcgetattr(fd, &before);
  termios silent = before;
  silent.c_lflag &= ~static_cast<tcflag_t>(ECHO);
  // Nor is it left for a shell meanwhile, which would have it echo again.
  silent.c_cc[VSUSP] = _POSIX_VDISABLE;
  std::string line;
  bool whole = false;
  {
    // Ctrl-C must not leave a terminal without echo behind.
    TerminalChange no_echo([fd, before] {
      (void)::tcsetattr(fd, TCSAFLUSH, &before);
      (void)!::write(fd, "\n", 1);
    });
    (void)::tcsetattr(fd, TCSAFLUSH, &silent);
    std::string prompt = label.substr(label.find_first_not_of('-')) + ": ";
    (void)!::write(fd, prompt.data(), prompt.size());
    whole = read_line(fd, &line);
  }
  ::close(fd);
  if (!whole) return Status(IMCTL_CANCELLED, "interrupted");
  return line;
}

}  // namespace

Result<std::string> read_secret(const std::string& label, const std::string& how) {
  if (how.empty()) return ask(label);
  if (how == "-") {
    std::string line;
    (void)read_line(STDIN_FILENO, &line);
    return line;
  }
  if (how.front() == '@') {
    Result<std::string> content = read_file(how.substr(1));
    if (!content.ok()) return content.status();
    if (content->ends_with('\n')) content->pop_back();
    if (content->ends_with('\r')) content->pop_back();
    return content;
  }
  return Status(
      IMCTL_INVALID_ARGUMENT,
      "is secret and not taken from the command line: leave the value out to be asked, or "
      "use =@FILE, or =- for standard input");
}

}  // namespace imctl::host::cli
