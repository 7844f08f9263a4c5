#include "check/check_module.h"

#include <poll.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>
#include <memory>
#include <optional>
#include <sstream>
#include <utility>

#include "check/static_rules.h"
#include "link/child_process.h"

namespace imctl::host {
namespace {

// Between the two processes goes a line for each thing that is found: a word, the rule's number,
// text.
constexpr std::string_view kPass = "pass";
constexpr std::string_view kFail = "fail";
constexpr std::string_view kNone = "none";
constexpr std::string_view kAt = "at";
constexpr std::string_view kDone = "done";

// A probe that takes longer is stuck.
constexpr std::chrono::seconds kProbeTime{120};

class LineSink final : public ProbeSink {
 public:
  explicit LineSink(int out) : out_(out) {}
  void pass(Rule rule) override { say(kPass, rule, ""); }
  void fail(Rule rule, const std::string& why) override { say(kFail, rule, why); }
  void not_applicable(Rule rule, const std::string& why) override { say(kNone, rule, why); }
  void at(const std::string& what) override { say(kAt, Rule::kModule, what); }
  void done() { say(kDone, Rule::kModule, ""); }
  void give_up() override {
    done();
    ::_exit(0);
  }

 private:
  void say(std::string_view word, Rule rule, std::string text) {
    std::replace(text.begin(), text.end(), '\n', ' ');
    std::string line =
        std::string(word) + " " + std::to_string(number_of(rule)) + " " + text + "\n";
    std::string_view left = line;
    while (!left.empty()) {
      ssize_t written = ::write(out_, left.data(), left.size());
      if (written < 0 && errno != EINTR) return;
      left.remove_prefix(static_cast<size_t>(std::max<ssize_t>(written, 0)));
    }
  }
  const int out_;
};

struct Output {
  std::string out;
  std::string err;
  bool in_time = true;
};

// All that the child writes, until it closes both or the time is over.
Output read_all(ChildProcess& child) {
  Output output;
  std::array<pollfd, 2> open = {pollfd{child.take(ChildProcess::kOut), POLLIN, 0},
                                pollfd{child.take(ChildProcess::kErr), POLLIN, 0}};
  auto until = std::chrono::steady_clock::now() + kProbeTime;
  while (open[0].fd >= 0 || open[1].fd >= 0) {
    auto left = std::chrono::duration_cast<std::chrono::milliseconds>(
        until - std::chrono::steady_clock::now());
    if (left.count() <= 0) {
      output.in_time = false;
      break;
    }
    if (::poll(open.data(), open.size(), static_cast<int>(left.count())) < 0) continue;
    for (size_t i = 0; i < open.size(); ++i) {
      if (open[i].fd < 0 || open[i].revents == 0) continue;
      std::array<char, 4096> piece;
      ssize_t n = ::read(open[i].fd, piece.data(), piece.size());
      if (n > 0) {
        (i == 0 ? output.out : output.err).append(piece.data(), static_cast<size_t>(n));
      } else if (n == 0 || errno != EINTR) {
        ::close(std::exchange(open[i].fd, -1));
      }
    }
  }
  for (pollfd& fd : open) {
    if (fd.fd >= 0) ::close(fd.fd);
  }
  return output;
}

std::string last_line(const std::string& text) {
  std::istringstream lines(text);
  std::string last;
  for (std::string line; std::getline(lines, line);) {
    if (!line.empty()) last = line;
  }
  return last;
}

// True: the probe came to its end.
bool take_lines(const std::string& out, const Probe& probe, Findings& findings, std::string* at) {
  std::istringstream lines(out);
  bool done = false;
  for (std::string line; std::getline(lines, line);) {
    std::istringstream words(line);
    std::string word;
    size_t number = 0;
    std::string text;
    words >> word >> number;
    std::getline(words >> std::ws, text);
    if (number < 1 || number > kRules) continue;
    Rule rule = static_cast<Rule>(number);
    if (word == kPass) findings.pass(rule);
    if (word == kFail) findings.fail(rule, std::string(probe.name) + ": " + text);
    if (word == kNone) findings.not_applicable(rule, text);
    if (word == kAt) *at = text;
    if (word == kDone) done = true;
  }
  return done;
}

void probe_it(const CheckOptions& options, const Probe& probe, Findings& findings) {
  std::vector<std::string> words = options.words;
  words.emplace_back(probe.name);
  words.insert(words.end(), options.words_after.begin(), options.words_after.end());
  Result<std::unique_ptr<ChildProcess>> child = ChildProcess::start(options.program, words);
  if (!child.ok()) {
    findings.fail(probe.rule, child.status().message());
    return;
  }
  Output output = read_all(**child);
  if (!output.in_time) (*child)->kill_and_wait();
  std::optional<std::string> end = (*child)->ended();
  while (!end) end = (*child)->ended();  // its output is closed: it is about to
  std::string at;
  if (take_lines(output.out, probe, findings, &at)) return;
  std::string text = output.in_time ? "the process " + *end
                                    : "no end within " + std::to_string(kProbeTime.count()) + " s";
  std::string said = last_line(output.err);
  findings.fail(probe.rule, std::string(probe.name) + ": " + text + " while at: " + at +
                                (said.empty() ? "" : "; it said last: " + said));
}

}  // namespace

Findings check_module(const CheckOptions& options) {
  Findings findings;
  const bool runs = check_file(options.module.path, options.own_verbs, findings);
  bool started = runs;
  for (const Probe& probe : probes()) {
    if (started) probe_it(options, probe, findings);
    for (Rule rule : probe.rules) {
      findings.not_applicable(rule, runs ? "the module does not come so far" : "it is not loaded");
    }
    // The first says whether it can be started at all.
    started = started && findings.of(Rule::kSlots).outcome == Outcome::kPass;
  }
  for (size_t number = 1; number <= kRules; ++number) {
    findings.not_applicable(static_cast<Rule>(number), "it is not loaded");
  }
  return findings;
}

bool run_probe(const std::string& name, const ProbeModule& module, int out) {
  for (const Probe& probe : probes()) {
    if (probe.name != name) continue;
    LineSink sink(out);
    probe.run(module, sink);
    sink.done();
    return true;
  }
  return false;
}

}  // namespace imctl::host
