// What a module is put through, in a process that may die of it: rules 9 to 23.
#ifndef IMCTL_HOST_CHECK_PROBES_H
#define IMCTL_HOST_CHECK_PROBES_H

#include <functional>
#include <string>
#include <vector>

#include "check/findings.h"

namespace imctl::host {

struct ProbeModule {
  std::string path;
  std::vector<std::string> settings;  // "section.key=value"
};

// How a probe tells what it finds, at once: the process may end at any time.
class ProbeSink {
 public:
  virtual ~ProbeSink() = default;
  virtual void pass(Rule rule) = 0;
  virtual void fail(Rule rule, const std::string& why) = 0;
  virtual void not_applicable(Rule rule, const std::string& why) = 0;
  // What it does next, for who wonders how the process died.
  virtual void at(const std::string& what) = 0;
  // It is over though code of the module still runs: ends the process.
  [[noreturn]] virtual void give_up() = 0;
};

struct Probe {
  const char* name;
  Rule rule;                // that fails if the process dies
  std::vector<Rule> rules;  // all that it looks at
  void (*run)(const ProbeModule& module, ProbeSink& sink);
};

// In their order. If the first finds that the module cannot be started, the others make no sense.
const std::vector<Probe>& probes();

}  // namespace imctl::host

#endif  // IMCTL_HOST_CHECK_PROBES_H
