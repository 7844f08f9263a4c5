// What a check of a module found, rule by rule.
#ifndef IMCTL_HOST_CHECK_FINDINGS_H
#define IMCTL_HOST_CHECK_FINDINGS_H

#include <array>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "road/rules.h"

namespace imctl::host {

enum class Outcome { kNotApplicable, kPass, kFail };

struct Finding {
  Outcome outcome = Outcome::kNotApplicable;
  std::vector<std::string> why;  // it fails, or does not apply
};

class Findings {
 public:
  Finding& of(Rule rule) { return all_[number_of(rule) - 1]; }
  const Finding& of(Rule rule) const { return all_[number_of(rule) - 1]; }

  // One that failed stays so.
  void pass(Rule rule);
  void fail(Rule rule, const std::string& why);
  // Unless something is known of it already.
  void not_applicable(Rule rule, const std::string& why);
  bool failed() const;
  bool failed(Rule rule) const { return of(rule).outcome == Outcome::kFail; }

 private:
  std::array<Finding, kRules> all_;
};

// The rule that a message names at its end, if it names one.
std::optional<Rule> rule_in(std::string_view message);

// Fails the rule that the message names, else `otherwise`.
void fail_as_named(Findings& findings, const std::string& message, Rule otherwise);

}  // namespace imctl::host

#endif  // IMCTL_HOST_CHECK_FINDINGS_H
