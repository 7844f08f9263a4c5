#include "check/findings.h"

#include <algorithm>

namespace imctl::host {

void Findings::pass(Rule rule) {
  Finding& finding = of(rule);
  if (finding.outcome == Outcome::kFail) return;
  finding.outcome = Outcome::kPass;
  finding.why.clear();
}

void Findings::fail(Rule rule, const std::string& why) {
  Finding& finding = of(rule);
  if (finding.outcome != Outcome::kFail) finding.why.clear();
  finding.outcome = Outcome::kFail;
  if (std::find(finding.why.begin(), finding.why.end(), why) == finding.why.end()) {
    finding.why.push_back(why);
  }
}

void Findings::not_applicable(Rule rule, const std::string& why) {
  Finding& finding = of(rule);
  if (finding.outcome != Outcome::kNotApplicable || !finding.why.empty()) return;
  finding.why = {why};
}

bool Findings::failed() const {
  return std::any_of(all_.begin(), all_.end(),
                     [](const Finding& finding) { return finding.outcome == Outcome::kFail; });
}

std::optional<Rule> rule_in(std::string_view message) {
  for (size_t number = 1; number <= kRules; ++number) {
    Rule rule = static_cast<Rule>(number);
    if (message.find(named(rule)) != std::string_view::npos) return rule;
  }
  return std::nullopt;
}

void fail_as_named(Findings& findings, const std::string& message, Rule otherwise) {
  std::optional<Rule> rule = rule_in(message);
  if (!rule) {
    findings.fail(otherwise, message);
    return;
  }
  // Its number stands beside it already.
  std::string text = message;
  std::string mark = named(*rule);
  for (size_t at = 0; (at = text.find(mark)) != std::string::npos;) text.erase(at, mark.size());
  findings.fail(*rule, text);
}

}  // namespace imctl::host
