// A verb repeated: --watch.
#ifndef IMCTL_HOST_CLI_WATCH_H
#define IMCTL_HOST_CLI_WATCH_H

#include <chrono>
#include <functional>
#include <memory>
#include <string>

#include "cli/interrupt.h"
#include "cli/terminal.h"

namespace imctl::host::cli {

// The screen of a terminal while something is shown on it again and again. It is left as it was,
// with the last that was shown below.
class Screen {
 public:
  explicit Screen(const Terminal& terminal);
  ~Screen();
  Screen(const Screen&) = delete;
  Screen& operator=(const Screen&) = delete;

  // What fits is shown, below a line of `title`.
  void draw(const std::string& title, const std::string& text);

 private:
  const Terminal& terminal_;
  std::string last_;
  std::unique_ptr<TerminalChange> change_;
};

// One round: prints to the terminal that it is given; gives an exit code, and whether it is worth
// trying again if that is not 0.
struct Round {
  int code = 0;
  bool again = false;
};
using WatchRound = std::function<Round(const Terminal&)>;

// Repeats it until it fails, a signal comes, or nobody reads any more. On a terminal the screen is
// drawn anew each time, and what may pass is waited for; elsewhere the rounds are printed one after
// another, with `between` between them. The first round that fails ends it in any case.
int watch(const Terminal& terminal, InterruptWatch& interrupt, std::chrono::nanoseconds interval,
          const std::string& title, const std::string& between, const WatchRound& round);

}  // namespace imctl::host::cli

#endif  // IMCTL_HOST_CLI_WATCH_H
