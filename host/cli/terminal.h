// What the program is connected to, and how a terminal is left as it was found.
#ifndef IMCTL_HOST_CLI_TERMINAL_H
#define IMCTL_HOST_CLI_TERMINAL_H

#include <cstddef>
#include <functional>
#include <ostream>
#include <string>
#include <string_view>

namespace imctl::host::cli {

struct TerminalSize {
  size_t width = 0;  // columns; 0: not a terminal
  size_t height = 0;
};

struct Terminal {
  std::ostream& out;  // data
  std::ostream& err;  // everything else
  int in = 0;         // requests, lines
  size_t width = 0;   // columns of `out`; 0: not a terminal
  size_t err_width = 0;
  bool color = false;      // of `out`
  bool err_color = false;  // of `err`
  bool asks = false;       // there is somebody to answer questions
  // The size of `out` now; people change it.
  std::function<TerminalSize()> measure;
};

// Standard output, standard error and standard input, as they are. NO_COLOR and TERM=dumb turn
// colours off.
Terminal standard_terminal();

// Nothing but the text where there is no colour.
std::string bold(std::string_view text, bool color);
std::string red(std::string_view text, bool color);

// A change of the terminal's state that is undone when this goes out of scope, and also if a signal
// ends the program before.
class TerminalChange {
 public:
  explicit TerminalChange(std::function<void()> undo);
  ~TerminalChange();
  TerminalChange(const TerminalChange&) = delete;
  TerminalChange& operator=(const TerminalChange&) = delete;

  // Undoes all there are, the last first; from any thread, before the program is ended.
  static void undo_all();

 private:
  std::function<void()> undo_;
};

}  // namespace imctl::host::cli

#endif  // IMCTL_HOST_CLI_TERMINAL_H
