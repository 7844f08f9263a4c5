#include "cli/terminal.h"

#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <iostream>
#include <mutex>
#include <utility>
#include <vector>

#include "cli/text.h"

namespace imctl::host::cli {
namespace {

TerminalSize size_of(int fd) {
  if (::isatty(fd) == 0) return {};
  winsize size{};
  if (::ioctl(fd, TIOCGWINSZ, &size) == 0 && size.ws_col > 0) return {size.ws_col, size.ws_row};
  return {80, 24};
}

struct Changes {
  std::mutex mutex;
  std::vector<TerminalChange*> made;
};

Changes& changes() {
  static Changes all;
  return all;
}

}  // namespace

Terminal standard_terminal() {
  bool color = env("NO_COLOR").empty() && env("TERM") != "dumb" && !env("TERM").empty();
  size_t width = size_of(STDOUT_FILENO).width;
  size_t err_width = size_of(STDERR_FILENO).width;
  return {std::cout,
          std::cerr,
          STDIN_FILENO,
          width,
          err_width,
          color && width > 0,
          color && err_width > 0,
          ::isatty(STDIN_FILENO) != 0 && err_width > 0,
          [] { return size_of(STDOUT_FILENO); }};
}

std::string bold(std::string_view text, bool color) {
  return color && !text.empty() ? "\x1b[1m" + std::string(text) + "\x1b[0m" : std::string(text);
}

std::string red(std::string_view text, bool color) {
  return color && !text.empty() ? "\x1b[31m" + std::string(text) + "\x1b[0m" : std::string(text);
}

TerminalChange::TerminalChange(std::function<void()> undo) : undo_(std::move(undo)) {
  std::lock_guard<std::mutex> lock(changes().mutex);
  changes().made.push_back(this);
}

TerminalChange::~TerminalChange() {
  std::lock_guard<std::mutex> lock(changes().mutex);
  auto& made = changes().made;
  made.erase(std::remove(made.begin(), made.end(), this), made.end());
  undo_();
}

void TerminalChange::undo_all() {
  std::lock_guard<std::mutex> lock(changes().mutex);
  auto& made = changes().made;
  for (auto change = made.rbegin(); change != made.rend(); ++change) (*change)->undo_();
}

}  // namespace imctl::host::cli
