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
    if (std::string_view(value.key).substr(value.key.find('.') + 1) == key) {
      return value.source + ": " + value.key;
    }
  }
  return std::string(key);
}

Result<SettingsSources> SettingsSources::load(
    const std::string& file, const std::vector<std::string>& flags,
    const std::map<std::string, std::string>& environment) {
  std::string content;
  if (!file.empty()) {
    auto read = read_settings_content(file);
    if (!read.ok()) return read.status();
    content = std::move(*read);
  }
  return load_content(file, content, flags, environment);
}

Result<SettingsSources> SettingsSources::load_content(
    const std::string& name, const std::string& content, const std::vector<std::string>& flags,
    const std::map<std::string, std::string>& environment) {
  SettingsSources sources;
  sources.file_ = name;
  sources.environment_ = environment;
  auto file = parse_settings(content, name);
  if (!file.ok()) return file.status();
  for (SettingsFile::Entry& entry : file->entries) {
    Given& given = sources.from_file_[entry.section][entry.key];
    if (given.lines.empty()) given.source = name + ":" + std::to_string(entry.line);
    given.texts.push_back(std::move(entry.text));
    given.lines.push_back(entry.line);
  }
  sources.file_sections_ = std::move(file->sections);
  Status status = sources.add_flags(flags);
  if (!status.ok()) return status;
  return sources;
}

Status SettingsSources::add_flags(const std::vector<std::string>& flags) {
  for (const std::string& flag : flags) {
    size_t equals = flag.find('=');
    // Only a key may have more dots.
    size_t dot = flag.substr(0, equals).find('.');
    if (equals == std::string::npos || dot == std::string::npos || dot == 0 || dot + 1 == equals) {
      return {IMCTL_INVALID_ARGUMENT,
              "a --set is not of the form section.key=value, like --set host.listen=50052"};
    }
    // The last one counts.
    from_flags_[flag.substr(0, dot)][flag.substr(dot + 1, equals - dot - 1)] = {
        {flag.substr(equals + 1)}, "--set", {}};
  }
  return {};
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
  if (alias) {
    from_alias_[{section, field.key()}] = alias->source;
    return alias;
  }
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

std::string SettingsSources::twice(const std::string& section, const std::string& key,
                                   const Given& given) const {
  return file_ + ":" + std::to_string(given.lines[1]) + ": " + section + "." + key +
         " is on line " + std::to_string(given.lines[0]) + " already; keep one";
}

Status SettingsSources::fill(const std::string& section, const SettingField& field,
                             Message& message, SettingValue& value) {
  value.key = section + "." + field.key();
  value.secret = field.options().secret();
  value.live = field.options().live();
  value.list = field.is_list();
  value.default_text = field.printable_default();
  std::optional<Given> given = pick(section, field);
  const std::string& standard = field.options().default_();

  if (!given) {
    value.source = "default";
    value.text = value.default_text;
    if (field.options().required() && standard.empty()) {
      return {IMCTL_INVALID_ARGUMENT, value.key + " is required; " + where_to_set(section, field)};
    }
    Status status = field.set_default(message);
    if (status.ok()) return status;
    return {IMCTL_FAILED_PRECONDITION, value.key + " by default " + status.message() +
                                           "; this is the module's fault and it must be changed"};
  }

  value.source = given->source;
  value.hidden = join(given->texts, ", ");
  value.text = field.printable(value.hidden);
  if (value.text == value.hidden) value.hidden.clear();
  std::string whose = given->source + ": " + value.key + " ";
  if (given->lines.size() > 1 && !field.is_list()) {
    return {IMCTL_INVALID_ARGUMENT, twice(section, field.key(), *given)};
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
        value.value = field->value_of(*section.messages.back());
        section.values.push_back(std::move(value));
      } else {
        problems.push_back(status.message());
        code = problems.size() == 1 ? status.code() : code;
      }
    }
  }
  for (const auto& [key, schema] : keys) known_[name].keys.insert(key);
  if (!problems.empty()) return Status(code, join(problems, "\n"));
  return section;
}

Result<std::vector<FreeSetting>> SettingsSources::free_settings(const std::string& name,
                                                                FreeKeys keys) {
  Known& known = known_[name];
  known.free = keys;
  std::map<std::string, const Given*> found;
  for (const Sections* sections : {&from_file_, &from_flags_}) {
    auto section = sections->find(name);
    if (section == sections->end()) continue;
    for (const auto& [key, given] : section->second) {
      if (known.keys.count(key) == 0 && takes(known, key)) found[key] = &given;
    }
  }
  std::vector<FreeSetting> settings;
  std::vector<std::string> problems;
  for (const auto& [key, given] : found) {
    if (given->lines.size() > 1) problems.push_back(twice(name, key, *given));
    settings.push_back({key, given->texts.front(), given->source});
  }
  Status status = error_of(problems);
  if (!status.ok()) return status;
  return settings;
}

std::optional<std::string> SettingsSources::overridden_by(const std::string& section,
                                                          const std::string& key) const {
  if (find(from_flags_, section, key) != nullptr) return "--set";
  auto known = known_.find(section);
  bool is_free = known != known_.end() && known->second.free == FreeKeys::kAll;
  if (is_free || key.find('.') != std::string::npos) return std::nullopt;
  auto variable = environment_.find(variable_name(section, key));
  if (variable != environment_.end()) return "env " + variable->first;
  auto alias = from_alias_.find({section, key});
  if (alias != from_alias_.end()) return alias->second;
  return std::nullopt;
}

bool SettingsSources::takes(const Known& known, const std::string& key) {
  if (known.keys.count(key) != 0) return true;
  // A flag's key may be of any form.
  if (!known.free || !is_setting_key(key)) return false;
  return *known.free == FreeKeys::kAll || key.find('.') != std::string::npos;
}

std::string SettingsSources::settings_of(const Known& known) {
  std::string names = join({known.keys.begin(), known.keys.end()}, ", ");
  if (!known.free) return "its settings are: " + names;
  std::string free = *known.free == FreeKeys::kAll ? "names of letters, digits, -, _ and ."
                                                   : "names with a dot in them";
  return "its settings are: " + (names.empty() ? free : names + ", and " + free);
}

void SettingsSources::check_keys(const Sections& sections,
                                 std::vector<std::string>& problems) const {
  for (const auto& [section, keys] : sections) {
    if (elsewhere_.count(section) != 0) continue;
    auto known = known_.find(section);
    for (const auto& [key, given] : keys) {
      if (known == known_.end()) {
        // Of a file's sections check() tells once.
        if (!given.lines.empty()) continue;
        problems.push_back(given.source + " " + section + "." + key + ": " + no_section(section));
      } else if (!takes(known->second, key)) {
        const std::set<std::string>& keys_known = known->second.keys;
        problems.push_back(given.source + ": section [" + section + "] has no setting `" + key +
                           "`; " +
                           did_you_mean(nearest(key, {keys_known.begin(), keys_known.end()}),
                                        settings_of(known->second)));
      }
    }
  }
}

std::string SettingsSources::no_section(const std::string& section) const {
  std::vector<std::string> names = names_of(known_);
  names.insert(names.end(), elsewhere_.begin(), elsewhere_.end());
  std::string near = nearest(section, names);
  return "no loaded module is named `" + section + "`; " +
         did_you_mean(near, "load it (host.modules) or remove its settings");
}

void SettingsSources::check_environment(std::vector<std::string>& problems) const {
  std::set<std::string> variables;
  for (const auto& [section, known] : known_) {
    for (const std::string& key : known.keys) variables.insert(variable_name(section, key));
  }
  for (const auto& [section, known] : known_) {
    if (elsewhere_.count(section) != 0) continue;
    std::string prefix = variable_name(section, "");
    for (auto variable = environment_.lower_bound(prefix);
         variable != environment_.end() && variable->first.compare(0, prefix.size(), prefix) == 0;
         ++variable) {
      if (variables.count(variable->first) != 0) continue;
      std::vector<std::string> names(variables.begin(), variables.end());
      std::string otherwise =
          known.free ? "what may have any name is set in the config file or with --set " + section +
                           ".NAME=VALUE"
                     : settings_of(known);
      problems.push_back("env " + variable->first + ": section [" + section +
                         "] has no such setting; " +
                         did_you_mean(nearest(variable->first, names), otherwise));
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

std::vector<std::string> SettingsSources::sections_with(const std::string& key) const {
  std::set<std::string> found;
  for (const Sections* sections : {&from_file_, &from_flags_}) {
    for (const auto& [section, keys] : *sections) {
      if (keys.count(key) != 0) found.insert(section);
    }
  }
  return {found.begin(), found.end()};
}

Status SettingsSources::check() const {
  std::vector<std::string> problems;
  for (const auto& [section, line] : file_sections_) {
    if (known_.count(section) != 0 || elsewhere_.count(section) != 0) continue;
    problems.push_back(file_ + ":" + std::to_string(line) + ": " + no_section(section));
  }
  check_keys(from_file_, problems);
  check_keys(from_flags_, problems);
  check_environment(problems);
  check_shared(problems);
  return error_of(problems);
}

}  // namespace imctl::host
