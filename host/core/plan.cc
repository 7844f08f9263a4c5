#include "core/plan.h"

#include <algorithm>
#include <filesystem>
#include <optional>
#include <set>
#include <utility>

#include "core/module_loader.h"
#include "core/module_order.h"
#include "road/rules.h"

namespace imctl::host {
namespace {

// Works out which modules are wanted and describes them.
class Planner {
 public:
  Planner(SettingsSources& sources, const HostConfig& config,
          std::shared_ptr<const Description> builtin)
      : sources_(sources), config_(config) {
    described_.push_back(std::move(builtin));
  }

  Status find() {
    std::set<std::string> listed(config_.modules.begin(), config_.modules.end());
    // Those of host.modules, those that are installed, those that only a section names.
    std::vector<std::string> names = config_.modules;
    std::map<std::string, std::string> installed = installed_modules(config_.module_path);
    for (const auto& [name, path] : installed) names.push_back(name);
    for (const std::string& name : sources_.sections_with("file")) names.push_back(name);
    std::set<std::string> seen = {"host", "bind", "nodes", "roles", "certificates"};
    for (const std::string& name : names) {
      if (!seen.insert(name).second) continue;
      bool is_installed = installed.count(name) != 0;
      Result<Section> section = sources_.section(name, {module_config()});
      if (!section.ok()) return section.status();
      SectionSettings said = read_section_settings(*section->messages[0], Manifest());
      bool wanted =
          said.enabled.value_or(config_.modules.empty() ? is_installed : listed.count(name) != 0);
      if (!wanted) {
        sources_.known_elsewhere(name);
        plan_.off.push_back(
            {name, said.file.empty() ? installed[name] : said.file,
             said.enabled ? section->origin("enabled") : "not in " + config_.modules_origin});
        continue;
      }
      const bool asked_for = said.enabled.has_value() || listed.count(name) != 0;
      Status status = add(name, said, section->origin("file"), asked_for);
      if (!status.ok()) return status;
    }
    return {};
  }

  Status bind(const DescribeRemote& describe_remote) {
    std::map<std::string, std::vector<std::string>> remote;
    Result<std::vector<FreeSetting>> said = sources_.free_settings("bind", FreeKeys::kDotted);
    if (!said.ok()) return said.status();
    for (const FreeSetting& service : *said) {
      if (is_remote_address(service.text)) {
        remote[service.text].push_back(service.key);
      } else if (Status status = check_provider(service); !status.ok()) {
        return status;
      }
      bound_[service.key] = service.text;
      plan_.values["bind"].push_back(service.value("bind"));
    }
    for (const auto& [address, services] : remote) {
      if (!describe_remote) {
        return {IMCTL_FAILED_PRECONDITION, "[bind]: " + services.front() + " = " + address +
                                               ": this program has no road to other hosts"};
      }
      Result<std::shared_ptr<const Description>> host = describe_remote(address, services);
      if (!host.ok()) return host.status();
      described_.push_back(std::move(*host));
      for (const std::string& service : services) plan_.providers[service] = address;
    }
    return {};
  }

  Result<Plan> finish() {
    Status status = choose_providers();
    if (status.ok()) status = check_verbs();
    if (!status.ok()) return status;
    Result<std::vector<std::shared_ptr<const Description>>> ordered =
        order_modules(std::move(described_), plan_.providers);
    if (!ordered.ok()) return ordered.status();
    plan_.modules = std::move(*ordered);
    plan_.config = config_;
    for (const auto& [section, values] : config_.values) {
      SectionValues& all = plan_.values[section];
      all.insert(all.begin(), values.begin(), values.end());
    }
    for (const auto& module : plan_.modules) {
      if (module->remote.empty() && !module->is_builtin()) {
        plan_.values[module->name()] = module->values;
      }
    }
    return std::move(plan_);
  }

 private:
  const google::protobuf::Descriptor* module_config() const {
    return builtin().descriptors->message("imctl.host.v1.ModuleConfig");
  }
  const Description& builtin() const { return *described_.front(); }

  Status add(const std::string& name, const SectionSettings& said, const std::string& file_origin,
             bool asked_for) {
    Result<ModuleFile> file =
        said.file.empty() ? find_module(name, config_.module_path) : read_module_file(said.file);
    if (!file.ok()) {
      std::string where = !said.file.empty()        ? file_origin + ": "
                          : config_.modules.empty() ? std::string()
                                                    : config_.modules_origin + ": ";
      return {file.status().code(), where + file.status().message()};
    }
    Status status = check_manifest(*file);
    if (!status.ok()) return status;
    if (!asked_for && file->manifest.opt_in()) {
      sources_.known_elsewhere(name);
      plan_.off.push_back(
          {name, file->path, "it runs only if host.modules or its section asks for it"});
      return {};
    }
    if (file->manifest.name() != name) {
      return {IMCTL_FAILED_PRECONDITION,
              file->path + ": its manifest calls it " + file->manifest.name() + ", not " + name};
    }
    Result<std::shared_ptr<const Description>> module =
        describe(sources_, std::move(*file), *builtin().descriptors);
    if (!module.ok()) return module.status();
    if (!(*module)->isolated) status = check_libraries((*module)->file);
    if (!status.ok()) return status;
    described_.push_back(std::move(*module));
    return {};
  }

  Status check_provider(const FreeSetting& service) const {
    std::string serving;
    for (const auto& module : described_) {
      const auto& serves = module->manifest().serves();
      bool has = std::find(serves.begin(), serves.end(), service.key) != serves.end();
      if (has && module->name() == service.text) return {};
      if (has) serving.append(serving.empty() ? "" : ", ").append(module->name());
    }
    return {IMCTL_INVALID_ARGUMENT,
            service.origin("bind") + ": module " + service.text +
                " is not loaded or does not serve it; " +
                (serving.empty() ? "no loaded module does" : "these do: " + serving) +
                ", and another host is named as grpc://HOST:PORT"};
  }

  Status choose_providers() {
    std::map<std::string, std::vector<std::string>> serving;
    for (const auto& module : described_) {
      if (!module->remote.empty()) continue;
      for (const std::string& service : module->manifest().serves()) {
        serving[service].push_back(module->name());
      }
    }
    for (const auto& [service, names] : serving) {
      auto bound = bound_.find(service);
      if (bound != bound_.end()) {
        plan_.providers[service] = bound->second;
      } else if (names.size() == 1) {
        plan_.providers[service] = names.front();
      } else {
        return {IMCTL_FAILED_PRECONDITION,
                "modules " + names[0] + " and " + names[1] + " both serve " + service +
                    ": switch one off, or say which in section [bind]: " + service + " = " +
                    names[0]};
      }
    }
    return {};
  }

  // Only of what is served: a provider that is not chosen has no verbs.
  Status check_verbs() const {
    std::map<std::string, std::string> owners;
    for (const auto& module : described_) {
      for (const std::string& service : module->manifest().serves()) {
        if (plan_.providers.at(service) != module->name()) continue;
        const google::protobuf::ServiceDescriptor* found = module->descriptors->service(service);
        for (int i = 0; found != nullptr && i < found->method_count(); ++i) {
          const std::string& path = found->method(i)->options().GetExtension(imctl::verb).path();
          if (path.empty()) continue;
          auto [at, fresh] = owners.emplace(path, module->name());
          if (fresh) continue;
          return {IMCTL_FAILED_PRECONDITION,
                  "modules " + at->second + " and " + module->name() + " both have the verb '" +
                      path + "': switch one off (host.modules)" + named(Rule::kVerbs)};
        }
      }
    }
    return {};
  }

  SettingsSources& sources_;
  const HostConfig& config_;
  Plan plan_;
  std::vector<std::shared_ptr<const Description>> described_;
  std::map<std::string, std::string> bound_;
};

}  // namespace

std::shared_ptr<const Description> Plan::find(const std::string& name) const {
  for (const auto& module : modules) {
    if (module->name() == name) return module;
  }
  return nullptr;
}

bool is_remote_address(const std::string& provider) {
  return provider.rfind("grpc://", 0) == 0 || provider.rfind("grpcs://", 0) == 0;
}

Result<Plan> make_plan(SettingsSources& sources, const HostConfig& config,
                       std::shared_ptr<const Description> builtin,
                       const DescribeRemote& describe_remote) {
  Planner planner(sources, config, std::move(builtin));
  Status status = planner.find();
  if (status.ok()) status = planner.bind(describe_remote);
  if (status.ok()) status = sources.check();
  if (!status.ok()) return status;
  return planner.finish();
}

}  // namespace imctl::host
