#include "cli/watch.h"

#include <unistd.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <ctime>
#include <sstream>
#include <utility>

#include "cli/exit_code.h"
#include "cli/human.h"
#include "cli/text.h"

namespace imctl::host::cli {
namespace {

// The other screen, no cursor, lines cut at the margin; and back.
constexpr std::string_view kEnter = "\x1b[?1049h\x1b[?25l\x1b[?7l";
constexpr std::string_view kLeave = "\x1b[?7h\x1b[?25h\x1b[?1049l";
constexpr std::string_view kHome = "\x1b[H";
constexpr std::string_view kClearLine = "\x1b[2K";
constexpr std::string_view kClearBelow = "\x1b[J";

// So that a Ctrl-C is noticed.
constexpr std::chrono::nanoseconds kShortestPause = std::chrono::milliseconds(1);

std::string clock_text() {
  std::time_t now = std::time(nullptr);
  std::tm local{};
  (void)::localtime_r(&now, &local);
  std::array<char, 32> text{};
  (void)std::strftime(text.data(), text.size(), "%H:%M:%S", &local);
  return text.data();
}

}  // namespace

Screen::Screen(const Terminal& terminal) : terminal_(terminal) {
  terminal_.out << std::flush;
  change_ = std::make_unique<TerminalChange>(
      [] { (void)!::write(STDOUT_FILENO, kLeave.data(), kLeave.size()); });
  terminal_.out << kEnter << std::flush;
}

Screen::~Screen() {
  terminal_.out << std::flush;
  change_.reset();
  terminal_.out << last_ << std::flush;
}

void Screen::draw(const std::string& title, const std::string& text) {
  TerminalSize size = terminal_.measure ? terminal_.measure() : TerminalSize{80, 24};
  std::string clock = clock_text();
  size_t room = size.width > clock.size() + 1 ? size.width - clock.size() - 1 : 0;
  std::string head = fit(title, room);
  head += std::string(room - display_width(head) + 1, ' ') + clock;
  std::string frame = std::string(kHome) + std::string(kClearLine) + bold(head, terminal_.color);
  size_t used = 1;
  std::istringstream lines(text);
  for (std::string line; used < size.height && std::getline(lines, line); ++used) {
    frame += "\n" + std::string(kClearLine) + line;
  }
  if (used < size.height) frame += "\n" + std::string(kClearBelow);
  terminal_.out << frame << std::flush;
  last_ = text;
}

int watch(const Terminal& terminal, InterruptWatch& interrupt, std::chrono::nanoseconds interval,
          const std::string& title, const std::string& between, const WatchRound& round) {
  interrupt.hold();
  std::unique_ptr<Screen> screen;
  std::string heading = title + "  (every " +
                        human_duration(interval.count() / 1000000000,
                                       static_cast<int32_t>(interval.count() % 1000000000)) +
                        ", Ctrl-C ends)";
  for (size_t n = 0;; ++n) {
    std::ostringstream out;
    std::ostringstream err;
    Terminal inner{out, err};
    inner.in = terminal.in;
    TerminalSize size = terminal.measure ? terminal.measure() : TerminalSize{terminal.width, 0};
    inner.width = size.width;
    inner.color = terminal.color;
    inner.err_color = terminal.err_color;
    const auto begun = std::chrono::steady_clock::now();
    Round done = round(inner);
    bool ended = interrupt.interrupted();
    // The first time nothing is on the screen yet, and an error is as any other verb's.
    if (!ended && done.code != kDone && (n == 0 || !done.again || screen == nullptr)) {
      screen.reset();
      terminal.out << out.str();
      terminal.err << err.str();
      return done.code;
    }
    if (!ended) {
      if (terminal.width == 0) {
        terminal.out << (n > 0 ? between : "") << out.str() << std::flush;
        terminal.err << err.str();
        if (!terminal.out) return kDone;
      } else {
        if (screen == nullptr) screen = std::make_unique<Screen>(terminal);
        screen->draw(heading, out.str() + err.str());
      }
    }
    // A round begins every interval: what a call takes is no pause.
    const std::chrono::nanoseconds took = std::chrono::steady_clock::now() - begun;
    if (ended || !interrupt.wait_for(std::max(interval - took, kShortestPause))) return kDone;
  }
}

}  // namespace imctl::host::cli
