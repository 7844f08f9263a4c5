// `imctl explain`, `imctl api`, `imctl call`: the methods behind the verbs.
#include <algorithm>
#include <utility>

#include "cli/describe.h"
#include "cli/local_verbs.h"
#include "cli/suggest.h"
#include "cli/text.h"
#include "cli/tree_list.h"

namespace imctl::host::cli {
namespace {

void print_description(LocalCall& call, const Tree& tree) {
  size_t width = call.terminal.width == 0 ? 100 : std::max<size_t>(call.terminal.width, 40);
  switch (call.flags.format()) {
    case Format::kJson: call.out << to_json(tree, true) << '\n'; break;
    case Format::kJsonLines: call.out << to_json(tree, false) << '\n'; break;
    case Format::kYaml: call.out << to_yaml(tree); break;
    default: call.out << description_text(tree, width, call.terminal.color);
  }
}

// "message.put", "message put", "package.Service/Method".
Result<VerbEntry> find_method(Catalog& catalog, const std::vector<std::string>& typed) {
  std::vector<std::string> words = typed;
  if (words.size() == 1) {
    if (std::optional<VerbEntry> entry = catalog.find_method(words.front())) return *entry;
    std::string dotted = words.front();
    std::replace(dotted.begin(), dotted.end(), '.', ' ');
    words = split_words(dotted);
  }
  const VerbEntry* verb = catalog.find(words);
  if (verb != nullptr && verb->path.size() == words.size()) return *verb;
  std::vector<std::string> names = catalog.method_names();
  for (const VerbEntry& entry : catalog.verbs()) names.push_back(join(entry.path, "."));
  std::string name = clean_line(join(typed, "."));
  return Status(IMCTL_NOT_FOUND, "there is no verb, method or type `" + name + "`" +
                                     did_you_mean(name, names) + ": see `imctl api`");
}

}  // namespace

Status explain(LocalCall& call) {
  Result<LocalArguments> arguments = read_arguments(call, 1, 8);
  if (!arguments.ok()) return arguments.status();
  Status status = call.session.connect_or_remember(call.flags);
  if (!status.ok()) return status;
  Catalog& catalog = *call.session.catalog();
  Result<VerbEntry> found = find_method(catalog, arguments->words);
  if (found.ok()) {
    Result<const google::protobuf::MethodDescriptor*> method = catalog.describe(*found);
    if (!method.ok()) return method.status();
    print_description(call,
                      describe(*method, catalog.module_name(*found), catalog.verb_of(*found)));
    return {};
  }
  const std::string& name = arguments->words.front();
  if (const auto* type = catalog.find_message(name)) {
    print_description(call, describe(type));
    return {};
  }
  if (const auto* type = catalog.find_enum(name)) {
    print_description(call, describe(type));
    return {};
  }
  return found.status();
}

Status list_api(LocalCall& call) {
  Result<LocalArguments> arguments = read_arguments(call, 0, 1);
  if (!arguments.ok()) return arguments.status();
  Status status = call.session.connect_or_remember(call.flags);
  if (!status.ok()) return status;
  Catalog& catalog = *call.session.catalog();
  std::string prefix = arguments->words.empty() ? "" : arguments->words.front();
  std::vector<Tree> rows;
  for (const std::string& name : catalog.method_names()) {
    if (!name.starts_with(prefix)) continue;
    std::optional<VerbEntry> entry = catalog.find_method(name);
    if (!entry) continue;
    Result<const google::protobuf::MethodDescriptor*> method = catalog.describe(*entry);
    if (!method.ok()) return method.status();
    rows.push_back(method_summary(*method, catalog.module_name(*entry), catalog.verb_of(*entry)));
  }
  return print_list(call, std::move(rows),
                    {"method", "verb", "effect", "access", "streams", "dry_run", "module"}, 5);
}

Status call_method(LocalCall& call) {
  if (call.arguments.empty() || call.arguments.front().starts_with('-')) {
    call.usage = true;
    return {IMCTL_INVALID_ARGUMENT, "name the method: package.Service/Method"};
  }
  Status status = call.session.connect(call.flags);
  if (!status.ok()) return status;
  std::string name = call.arguments.front();
  if (name.starts_with('/')) name.erase(0, 1);
  std::optional<VerbEntry> entry = call.session.catalog()->find_method(name);
  if (!entry) {
    return {IMCTL_NOT_FOUND, "there is no method `" + clean_line(name) + "`" +
                                 did_you_mean(name, call.session.catalog()->method_names()) +
                                 ": see `imctl api`"};
  }
  std::vector<std::string> rest(call.arguments.begin() + 1, call.arguments.end());
  call.code = call.run_method(*entry, rest);
  return {};
}

}  // namespace imctl::host::cli
