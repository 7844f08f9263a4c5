// `imctl module check FILE.so`: does a module keep the rules of module-rules.md?
#include <unistd.h>

#include <utility>

#include "check/check_module.h"
#include "cli/host_verbs.h"
#include "cli/table.h"
#include "cli/text.h"
#include "cli/tree.h"

namespace imctl::host::cli {
namespace {

// Of the hidden verb that carries out one probe.
constexpr const char* kProbeVerb = "__check";

const char* word_of(Outcome outcome) {
  switch (outcome) {
    case Outcome::kPass: return "pass";
    case Outcome::kFail: return "fail";
    case Outcome::kNotApplicable: break;
  }
  return "not applicable";
}

Tree tree_of(const std::string& file, const Findings& findings) {
  Tree tree = Tree::object();
  tree.add("file", Tree::string(file));
  tree.add("passed", Tree::literal(findings.failed() ? "false" : "true"));
  Tree rules = Tree::list();
  for (size_t number = 1; number <= kRules; ++number) {
    Rule rule = static_cast<Rule>(number);
    const Finding& finding = findings.of(rule);
    Tree one = Tree::object();
    one.add("rule", Tree::literal(std::to_string(number)));
    one.add("title", Tree::string(title_of(rule)));
    one.add("result", Tree::string(word_of(finding.outcome)));
    Tree why = Tree::list();
    for (const std::string& text : finding.why) why.items.push_back(Tree::string(text));
    one.add("why", std::move(why));
    rules.items.push_back(std::move(one));
  }
  tree.add("rules", std::move(rules));
  return tree;
}

void print_text(const Findings& findings, std::ostream& out) {
  Table table({"RULE", "RESULT", "WHAT"}, {});
  std::vector<std::string> failures;
  for (size_t number = 1; number <= kRules; ++number) {
    Rule rule = static_cast<Rule>(number);
    const Finding& finding = findings.of(rule);
    std::string what = title_of(rule);
    if (finding.outcome == Outcome::kNotApplicable && !finding.why.empty()) {
      what += " (" + finding.why.front() + ")";
    }
    table.add({std::to_string(number), word_of(finding.outcome), what});
    if (finding.outcome != Outcome::kFail) continue;
    for (const std::string& why : finding.why) {
      failures.push_back("rule " + std::to_string(number) + ": " + clean_line(why));
    }
  }
  table.flush(out);
  for (const std::string& failure : failures) out << failure << '\n';
}

}  // namespace

Status check_module(LocalCall& call) {
  Result<LocalArguments> arguments = read_arguments(call, 1, 1);
  if (!arguments.ok()) return arguments.status();
  CheckOptions options;
  options.module = {arguments->words.front(), call.flags.set};
  for (const auto& path : local_paths()) options.own_verbs.push_back(join(path, " "));
  options.program = "/proc/self/exe";
  options.words = {"imctl", kProbeVerb, options.module.path};
  for (const std::string& setting : call.flags.set) {
    options.words_after.emplace_back("--set");
    options.words_after.push_back(setting);
  }
  Findings findings = host::check_module(options);
  Tree tree = tree_of(options.module.path, findings);
  switch (call.flags.format()) {
    case Format::kJson: call.out << to_json(tree, true) << '\n'; break;
    case Format::kJsonLines: call.out << to_json(tree, false) << '\n'; break;
    case Format::kYaml: call.out << to_yaml(tree); break;
    case Format::kName:
      for (size_t number = 1; number <= kRules; ++number) {
        if (findings.failed(static_cast<Rule>(number))) call.out << number << '\n';
      }
      break;
    case Format::kTable:
    case Format::kWide: print_text(findings, call.out); break;
  }
  if (!findings.failed()) return {};
  return {IMCTL_FAILED_PRECONDITION,
          options.module.path + " does not keep the rules; module-rules.md explains them"};
}

Status probe_module(LocalCall& call) {
  Result<LocalArguments> arguments = read_arguments(call, 2, 2);
  if (!arguments.ok()) return arguments.status();
  const ProbeModule module{arguments->words[0], call.flags.set};
  if (run_probe(arguments->words[1], module, STDOUT_FILENO)) return {};
  return {IMCTL_INVALID_ARGUMENT, "there is no probe " + clean_line(arguments->words[1])};
}

}  // namespace imctl::host::cli
