#include "check/static_rules.h"

#include <algorithm>
#include <utility>

#include "builtin/builtin.h"
#include "check/descriptor_lint.h"
#include "check/elf_symbols.h"
#include "core/descriptors.h"
#include "core/module_file.h"
#include "core/module_loader.h"
#include "imctl/module.h"
#include "imctl/options.pb.h"

namespace imctl::host {
namespace {

using Taken = std::vector<std::pair<std::string, std::string>>;

void add_verbs(const Manifest& manifest, const Manifest& of, Taken* taken) {
  Result<std::shared_ptr<Descriptors>> descriptors = Descriptors::make(manifest);
  if (!descriptors.ok()) return;
  for (const std::string& name : manifest.serves()) {
    // Another that serves the same is an alternative, not beside it.
    const auto& served = of.serves();
    if (std::find(served.begin(), served.end(), name) != served.end()) continue;
    const google::protobuf::ServiceDescriptor* service = (*descriptors)->service(name);
    for (int i = 0; service != nullptr && i < service->method_count(); ++i) {
      const std::string& path = service->method(i)->options().GetExtension(imctl::verb).path();
      if (!path.empty()) taken->emplace_back(path, "module " + manifest.name());
    }
  }
}

Taken taken_verbs(const Manifest& of, const std::vector<std::string>& own_verbs) {
  Taken taken;
  for (const std::string& verb : own_verbs) taken.emplace_back(verb, "imctl");
  if (Result<Manifest> builtin = parse_manifest(builtin_manifest()); builtin.ok()) {
    add_verbs(*builtin, of, &taken);
  }
  for (const auto& [name, path] : installed_modules(default_module_path())) {
    if (name == of.name()) continue;
    Result<ModuleFile> file = read_module_file(path);
    if (file.ok()) add_verbs(file->manifest, of, &taken);
  }
  return taken;
}

void check_symbols(const std::string& path, Findings& findings) {
  Result<ElfSymbols> symbols = read_symbols(path);
  if (!symbols.ok()) {
    findings.fail(Rule::kExports, symbols.status().message());
    return;
  }
  std::vector<std::string>& exported = symbols->exported;
  if (std::erase(exported, IMCTL_MODULE_ENTRY) == 0) {
    findings.fail(Rule::kExports, std::string("it does not export ") + IMCTL_MODULE_ENTRY);
  }
  for (const std::string& name : symbols->unique) {
    findings.fail(Rule::kUniqueSymbols, name + " is unique in the whole process");
    std::erase(exported, name);
  }
  for (const std::string& name : exported) {
    findings.fail(Rule::kExports, "it exports " + name);
  }
  findings.pass(Rule::kExports);
  findings.pass(Rule::kUniqueSymbols);
}

void check_needed(const ModuleFile& file, Findings& findings) {
  if (Status status = check_libraries(file); !status.ok()) {
    fail_as_named(findings, status.message(), Rule::kLibraries);
  }
  for (const std::string& library : file.needed) {
    if (library.starts_with("libimctl")) {
      findings.fail(Rule::kLibraries, "it needs " + library + ", which is for tests");
    }
  }
  findings.pass(Rule::kLibraries);
}

}  // namespace

bool check_file(const std::string& path, const std::vector<std::string>& own_verbs,
                Findings& findings) {
  Result<ModuleFile> file = read_module_file(path);
  if (!file.ok()) {
    fail_as_named(findings, file.status().message(), Rule::kModule);
    return false;
  }
  if (Status status = check_manifest(*file); !status.ok()) {
    fail_as_named(findings, status.message(), Rule::kModule);
  }
  findings.pass(Rule::kModule);
  findings.pass(Rule::kAbi);
  check_symbols(path, findings);
  check_needed(*file, findings);
  Result<std::shared_ptr<Descriptors>> descriptors = Descriptors::make(file->manifest);
  if (!descriptors.ok()) {
    fail_as_named(findings, descriptors.status().message(), Rule::kDescriptors);
    return false;
  }
  lint_descriptors(file->manifest, **descriptors, findings);
  lint_verbs(file->manifest, **descriptors, taken_verbs(file->manifest, own_verbs), findings);
  return !findings.failed(Rule::kModule) && !findings.failed(Rule::kAbi) &&
         !findings.failed(Rule::kDescriptors) && !findings.failed(Rule::kLibraries);
}

}  // namespace imctl::host
