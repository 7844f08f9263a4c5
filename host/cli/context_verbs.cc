// `imctl context ...` and `imctl completion`: what the client knows by itself.
#include <filesystem>
#include <utility>

#include "cli/complete.h"
#include "cli/completion_scripts.h"
#include "cli/connection.h"
#include "cli/contexts.h"
#include "cli/local_verbs.h"
#include "cli/text.h"
#include "cli/tree.h"
#include "cli/tree_list.h"

namespace imctl::host::cli {
namespace {

std::string flag_of(const ContextKey& key) { return dashed(key.key); }

Tree tree_of(const std::string& name, const Context& context) {
  Tree tree = Tree::object();
  tree.add("name", Tree::string(name));
  for (const ContextKey& key : context_keys()) {
    tree.add(key.key, Tree::string(context.*(key.member)));
  }
  return tree;
}

}  // namespace

Status add_context(LocalCall& call) {
  Result<LocalArguments> arguments = read_arguments(call, 1, 1);
  if (!arguments.ok()) return arguments.status();
  if (call.flags.server.empty()) {
    call.usage = true;
    return {IMCTL_INVALID_ARGUMENT, "say where the host is: --server ADDR"};
  }
  const std::string& name = arguments->words.front();
  Context context;
  for (const ContextKey& key : context_keys()) {
    std::string value = arguments->get(flag_of(key));
    // Commands are given in any folder.
    std::error_code error;
    if (key.is_file && !value.empty()) value = std::filesystem::absolute(value, error).string();
    context.*(key.member) = value;
  }
  context.server = call.flags.server;
  if (context.server.starts_with("unix:") && !context.server.starts_with("unix:/")) {
    context.server = "unix:" + std::filesystem::absolute(context.server.substr(5)).string();
  }
  Status status = check_connection(context, "context `" + name + "`");
  if (!status.ok()) {
    call.usage = true;
    return status;
  }
  Contexts contexts;
  status = contexts.put(name, context, arguments->has("replace"));
  if (status.ok() && arguments->has("use")) status = contexts.use(name);
  return status;
}

Status list_contexts(LocalCall& call) {
  Result<LocalArguments> arguments = read_arguments(call, 0, 0);
  if (!arguments.ok()) return arguments.status();
  Contexts contexts;
  std::string current = context_in_force(call.flags);
  std::vector<Tree> rows;
  for (const std::string& name : contexts.names()) {
    Result<Context> context = contexts.get(name);
    Tree row = tree_of(name, context.ok() ? *context : Context());
    row.add("current", Tree::literal(name == current ? "true" : "false"));
    row.add("problem", Tree::string(context.ok() ? "" : context.status().message()));
    rows.push_back(std::move(row));
  }
  return print_list(call, std::move(rows),
                    {"name", "current", "server", "problem", "token_file", "tls_ca", "tls_cert",
                     "tls_key", "tls_name"},
                    4);
}

Status use_context(LocalCall& call) {
  Result<LocalArguments> arguments = read_arguments(call, 0, 1);
  if (!arguments.ok()) return arguments.status();
  if (arguments->words.empty() != arguments->has("none")) {
    call.usage = true;
    return {IMCTL_INVALID_ARGUMENT, "name one context, or say --none"};
  }
  return Contexts().use(arguments->has("none") ? "" : arguments->words.front());
}

Status show_context(LocalCall& call) {
  Result<LocalArguments> arguments = read_arguments(call, 0, 1);
  if (!arguments.ok()) return arguments.status();
  std::string name =
      arguments->words.empty() ? context_in_force(call.flags) : arguments->words.front();
  if (name.empty()) {
    return {IMCTL_NOT_FOUND, "no context is in use: `imctl context use NAME` chooses one"};
  }
  Result<Context> context = Contexts().get(name);
  if (!context.ok()) return context.status();
  Tree tree = tree_of(name, *context);
  switch (call.flags.format()) {
    case Format::kJson: call.out << to_json(tree, true) << '\n'; break;
    case Format::kJsonLines: call.out << to_json(tree, false) << '\n'; break;
    case Format::kName: call.out << name << '\n'; break;
    case Format::kYaml: call.out << to_yaml(tree); break;
    default: {
      TwoColumns lines;
      for (size_t i = 0; i < tree.keys.size(); ++i) {
        if (!tree.items[i].text.empty()) lines.emplace_back(tree.keys[i], tree.items[i].text);
      }
      call.out << two_columns(lines, 1000);
    }
  }
  return {};
}

Status delete_context(LocalCall& call) {
  Result<LocalArguments> arguments = read_arguments(call, 1, 1);
  if (!arguments.ok()) return arguments.status();
  return Contexts().remove(arguments->words.front());
}

Status show_completion(LocalCall& call) {
  Result<LocalArguments> arguments = read_arguments(call, 1, 1);
  if (!arguments.ok()) return arguments.status();
  std::string script = completion_script(arguments->words.front());
  if (script.empty()) {
    call.usage = true;
    return {IMCTL_INVALID_ARGUMENT, "there is none for '" + clean_line(arguments->words.front()) +
                                        "': bash, zsh and fish are known"};
  }
  call.out << script;
  return {};
}

Status complete_line(LocalCall& call) {
  std::vector<std::string> words = call.arguments;
  if (!words.empty() && words.front() == "--") words.erase(words.begin());
  Completion completion = complete(call.session, words);
  for (const Candidate& candidate : completion.candidates) {
    call.out << candidate.text << (candidate.about.empty() ? "" : "\t" + candidate.about) << '\n';
  }
  if (completion.files) call.out << ":files\n";
  return {};
}

}  // namespace imctl::host::cli
