#include "core/settings.h"

#include <algorithm>
#include <string_view>

#include "core/settings_file.h"
#include "core/settings_text.h"

namespace imctl::host {
namespace {

using google::protobuf::Descriptor;
using google::protobuf::Message;

Status error_of(const std::vector<std::string>& problems) {
  if (problems.empty()) return {};
  return {IMCTL_INVALID_ARGUMENT, join(problems, "\n")};
}

template <class Map>
std::vector<std::string> names_of(const Map& map) {
  std::vector<std::string> names;
  names.reserve(map.size());
  for (const auto& [name, rest] : map) names.push_back(name);
  return names;
}

std::string did_you_mean(const std::string& near, const std::string& otherwise) {
  return near.empty() ? otherwise : "did you mean `" + near + "`?";
}

Status declared_twice(const std::string& section, const std::string& key, const Descriptor& one,
                      const Descriptor& other) {
  return {IMCTL_FAILED_PRECONDITION, "section [" + section + "]: " + one.full_name() + " and " +
                                         other.full_name() + " both have a setting `" + key +
                                         "`; the module must name its own differently"};
}

}  // namespace

std::string Section::origin(std::string_view key) const {
  for (const SettingValue& value : values) {
    if (std::string_view(value.key).substr(value.key.rfind('.') + 1) == key) {
      return value.source + ": " + value.key;
    }
  }
  return std::string(key);
}

Result<SettingsSources> SettingsSources::load(
    const std::string& file, const std::vector<std::string>& flags,
    const std::map<std::string, std::string>& environment) {
  SettingsSources sources;
  sources.file_ = file;
  sources.environment_ = environment;
  if (!file.empty()) {
    auto content = read_settings_file(file);
    if (!content.ok()) return content.status();
    for (SettingsFile::Entry& entry : content->entries) {
      Given& given = sources.from_file_[entry.section][entry.key];
      if (given.lines.empty()) given.source = file + ":" + std::to_string(entry.line);
      given.texts.push_back(std::move(entry.text));
      given.lines.push_back(entry.line);
    }
    sources.file_sections_ = std::move(content->sections);
  }
  for (const std::string& flag : flags) {
    size_t equals = flag.find('=');
    size_t dot = flag.substr(0, equals).rfind('.');
    if (equals == std::string::npos || dot == std::string::npos || dot == 0 || dot + 1 == equals) {
      return Status(IMCTL_INVALID_ARGUMENT,
                    "a --set is not of the form section.key=value, like --set host.listen=50052");
    }
    // The last one counts.
    sources.from_flags_[flag.substr(0, dot)][flag.substr(dot + 1, equals - dot - 1)] = {
        {flag.substr(equals + 1)}, "--set", {}};
  }
  return sources;
}

const SettingsSources::Given* SettingsSources::find(const Sections& sections,
                                                    const std::string& section,
                                                    const std::string& key) {
  auto keys = sections.find(section);
  if (keys == sections.end()) return nullptr;
  auto given = keys->second.find(key);
  return given == keys->second.end() ? nullptr : &given->second;
}

std::optional<SettingsSources::Given> SettingsSources::pick_alias(const std::string& section,
                                                                  const SettingField& field,
                                                                  bool overridden) {
  std::optional<Given> picked;
  for (const std::string& alias : field.options().env()) {
    auto variable = environment_.find(alias);
    if (variable == environment_.end() || variable->second.empty()) continue;
    bool serves = field.serves(variable->second);
    SharedVariable& shared = shared_[alias];
    shared.taken = shared.taken || serves || overridden;
    shared.secret = shared.secret || field.options().secret();
    const auto& schemes = field.options().schemes();
    shared.served[section] = {schemes.begin(), schemes.end()};
    if (serves && !picked) picked = {{variable->second}, "env " + alias, {}};
  }
  return picked;
}

std::optional<SettingsSources::Given> SettingsSources::pick(const std::string& section,
                                                            const SettingField& field) {
  const Given* flag = find(from_flags_, section, field.key());
  auto variable = environment_.find(variable_name(section, field.key()));
  bool direct = flag != nullptr || variable != environment_.end();
  // Also when it will not be used, so that check() knows whose it could have been.
  std::optional<Given> alias = pick_alias(section, field, direct);
  if (flag != nullptr) return *flag;
  if (direct) return Given{{variable->second}, "env " + variable->first, {}};
  if (alias) return alias;
  const Given* line = find(from_file_, section, field.key());
  if (line != nullptr) return *line;
  return std::nullopt;
}

std::string SettingsSources::where_to_set(const std::string& section,
                                          const SettingField& field) const {
  std::string text = "set it in section [" + section + "] of " +
                     (file_.empty() ? "a config file (--config)" : file_) + ", as " +
                     variable_name(section, field.key());
  for (const std::string& alias : field.options().env()) text += " or " + alias;
  return text + " in the environment, or with --set " + section + "." + field.key() + "=VALUE";
}

Status SettingsSources::fill(const std::string& section, const SettingField& field,
                             Message& message, SettingValue& value) {
  value.key = section + "." + field.key();
  value.secret = field.options().secret();
  std::optional<Given> given = pick(section, field);
  const std::string& standard = field.options().default_();

  if (!given) {
    value.source = "default";
    value.text = field.printable_default();
    if (field.options().required() && standard.empty()) {
      return {IMCTL_INVALID_ARGUMENT, value.key + " is required; " + where_to_set(section, field)};
    }
    Status status = field.set_default(message);
    if (status.ok()) return status;
    return {IMCTL_FAILED_PRECONDITION, value.key + " by default " + status.message() +
                                           "; this is the module's fault and it must be changed"};
  }

  value.source = given->source;
  value.text = field.printable(join(given->texts, ", "));
  std::string whose = given->source + ": " + value.key + " ";
  if (given->lines.size() > 1 && !field.is_list()) {
    return {IMCTL_INVALID_ARGUMENT, file_ + ":" + std::to_string(given->lines[1]) + ": " +
                                        value.key + " is on line " +
                                        std::to_string(given->lines[0]) + " already; keep one"};
  }
  bool empty = std::all_of(given->texts.begin(), given->texts.end(),
                           [](const std::string& text) { return trim(text).empty(); });
  if (field.options().required() && empty) {
    return {IMCTL_INVALID_ARGUMENT, whose + "is required and must not be empty"};
  }
  Status status = field.set(message, given->texts);
  if (status.ok()) return status;
  return {status.code(), whose + status.message()};
}

Result<Section> SettingsSources::section(const std::string& name,
                                         const std::vector<const Descriptor*>& schemas) {
  Section section;
  known_[name];
  std::map<std::string, const Descriptor*> keys;
  std::vector<std::string> problems;
  imctl_code code = IMCTL_INVALID_ARGUMENT;
  for (const Descriptor* schema : schemas) {
    if (schema == nullptr) {
      section.messages.push_back(nullptr);
      continue;
    }
    section.messages.emplace_back(section.factory_->GetPrototype(schema)->New());
    for (int i = 0; i < schema->field_count(); ++i) {
      auto field = SettingField::make(schema->field(i));
      Status status = field.status();
      if (status.ok()) {
        auto [other, added] = keys.emplace(field->key(), schema);
        if (!added) status = declared_twice(name, field->key(), *other->second, *schema);
      }
      SettingValue value;
      if (status.ok()) status = fill(name, *field, *section.messages.back(), value);
      if (status.ok()) {
        section.values.push_back(std::move(value));
      } else {
        problems.push_back(status.message());
        code = problems.size() == 1 ? status.code() : code;
      }
    }
  }
  for (const auto& [key, schema] : keys) known_[name].insert(key);
  if (!problems.empty()) return Status(code, join(problems, "\n"));
  return section;
}

void SettingsSources::check_keys(const Sections& sections,
                                 std::vector<std::string>& problems) const {
  for (const auto& [section, keys] : sections) {
    auto known = known_.find(section);
    for (const auto& [key, given] : keys) {
      if (known == known_.end()) {
        // Of a file's sections check() tells once.
        if (!given.lines.empty()) continue;
        problems.push_back(given.source + " " + section + "." + key + ": " + no_section(section));
      } else if (known->second.count(key) == 0) {
        std::vector<std::string> names(known->second.begin(), known->second.end());
        problems.push_back(
            given.source + ": section [" + section + "] has no setting `" + key + "`; " +
            did_you_mean(nearest(key, names), "its settings are: " + join(names, ", ")));
      }
    }
  }
}

std::string SettingsSources::no_section(const std::string& section) const {
  std::string near = nearest(section, names_of(known_));
  return "no loaded module is named `" + section + "`; " +
         did_you_mean(near, "load it (host.modules) or remove its settings");
}

void SettingsSources::check_environment(std::vector<std::string>& problems) const {
  std::set<std::string> variables;
  for (const auto& [section, keys] : known_) {
    for (const std::string& key : keys) variables.insert(variable_name(section, key));
  }
  for (const auto& [section, keys] : known_) {
    std::string prefix = variable_name(section, "");
    for (auto variable = environment_.lower_bound(prefix);
         variable != environment_.end() && variable->first.compare(0, prefix.size(), prefix) == 0;
         ++variable) {
      if (variables.count(variable->first) != 0) continue;
      std::vector<std::string> names(variables.begin(), variables.end());
      problems.push_back(
          "env " + variable->first + ": section [" + section + "] has no such setting; " +
          did_you_mean(nearest(variable->first, names),
                       "its settings are: " + join({keys.begin(), keys.end()}, ", ")));
    }
  }
}

void SettingsSources::check_shared(std::vector<std::string>& problems) const {
  for (const auto& [name, variable] : shared_) {
    if (variable.taken) continue;
    std::vector<std::string> served;
    for (const auto& [section, schemes] : variable.served) {
      served.push_back(join(schemes, ", ") + " (section " + section + ")");
    }
    // A secret's scheme is not shown: it might be no scheme but the start of the secret.
    std::string_view scheme = scheme_of(environment_.at(name));
    std::string what = variable.secret  ? "has a scheme that no loaded module serves"
                       : scheme.empty() ? "has no scheme"
                                        : "has the scheme `" + std::string(scheme) +
                                              "`, which no loaded module serves";
    problems.push_back("env " + name + ": " + what + "; served are: " + join(served, "; ") +
                       "; load a module that serves it (host.modules), or change " + name);
  }
}

Status SettingsSources::check() const {
  std::vector<std::string> problems;
  for (const auto& [section, line] : file_sections_) {
    if (known_.count(section) != 0) continue;
    problems.push_back(file_ + ":" + std::to_string(line) + ": " + no_section(section));
  }
  check_keys(from_file_, problems);
  check_keys(from_flags_, problems);
  check_environment(problems);
  check_shared(problems);
  return error_of(problems);
}

}  // namespace imctl::host
