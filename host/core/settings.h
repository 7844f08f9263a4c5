// Settings: from the config file, the environment and --set, checked against the descriptors of the
// modules' Config messages.
#ifndef IMCTL_HOST_CORE_SETTINGS_H
#define IMCTL_HOST_CORE_SETTINGS_H

#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <google/protobuf/descriptor.h>
#include <google/protobuf/dynamic_message.h>
#include <google/protobuf/message.h>

#include "core/settings_field.h"
#include "imctl/status.h"

namespace imctl::host {

// One setting as it is in force.
struct SettingValue {
  std::string key;     // "section.key"
  std::string text;    // as written; "***" for a secret that is set; a URI's password is "***" too
  std::string source;  // "default", "imctl.conf:12", "env DB_URI", "--set"
  bool secret = false;
};

// The settings of one section. The descriptors' pool must outlive it.
class Section {
 public:
  Section() : factory_(std::make_unique<google::protobuf::DynamicMessageFactory>()) {}
  Section(Section&&) noexcept = default;
  // By swap: the old messages must go before the factory that made them.
  Section& operator=(Section&& other) noexcept {
    std::swap(factory_, other.factory_);
    std::swap(messages, other.messages);
    std::swap(values, other.values);
    return *this;
  }

  // "imctl.conf:12: host.listen": how to begin an error about a value that only its reader can
  // judge. `key` is without the section.
  std::string origin(std::string_view key) const;

 private:
  friend class SettingsSources;
  std::unique_ptr<google::protobuf::DynamicMessageFactory> factory_;

 public:
  // In the order of the schemas asked for; null for a null schema.
  std::vector<std::unique_ptr<google::protobuf::Message>> messages;
  std::vector<SettingValue> values;
};

// Everything that was said, before it is known what it means. Not for use from several threads.
class SettingsSources {
 public:
  // `file`: empty for none. `flags`: "section.key=value". `environment`: all of it, name -> value.
  static Result<SettingsSources> load(const std::string& file,
                                      const std::vector<std::string>& flags,
                                      const std::map<std::string, std::string>& environment);

  // Fills one message per schema from section `name`; the schemas share its keys. A flag wins over
  // the environment, the environment over the file, the file over the default; in the environment
  // IMCTL_<SECTION>__<KEY> wins over a setting's aliases, and an earlier alias over a later one.
  // Every field is set, but for those declared `optional` of which nobody says anything.
  //
  // An error names for every bad value the line, variable or flag, why, and what to do.
  Result<Section> section(const std::string& name,
                          const std::vector<const google::protobuf::Descriptor*>& schemas);

  // After every section was asked for: what is left over is an error. An unknown key or section, a
  // variable of a known section with an unknown key, a shared variable (DB_URI) whose scheme is
  // served by no section that was asked for.
  Status check() const;

 private:
  // What one place says of one key: one text, or several for a list on several lines.
  struct Given {
    std::vector<std::string> texts;
    std::string source;      // as in SettingValue
    std::vector<int> lines;  // of the file; empty if it is from elsewhere
  };
  using Sections = std::map<std::string, std::map<std::string, Given>>;

  // A variable that belongs to whichever module serves the scheme of its value.
  struct SharedVariable {
    bool taken = false;
    bool secret = false;
    std::map<std::string, std::vector<std::string>> served;  // section -> schemes
  };

  static const Given* find(const Sections& sections, const std::string& section,
                           const std::string& key);
  // What is in force; nothing: the default.
  std::optional<Given> pick(const std::string& section, const SettingField& field);
  // The alias that applies. Also notes whose the variables are. `overridden`: something above the
  // aliases is said, so they do not matter here.
  std::optional<Given> pick_alias(const std::string& section, const SettingField& field,
                                  bool overridden);
  Status fill(const std::string& section, const SettingField& field,
              google::protobuf::Message& message, SettingValue& value);
  std::string where_to_set(const std::string& section, const SettingField& field) const;
  std::string no_section(const std::string& section) const;
  void check_keys(const Sections& sections, std::vector<std::string>& problems) const;
  void check_environment(std::vector<std::string>& problems) const;
  void check_shared(std::vector<std::string>& problems) const;

  std::string file_;
  std::map<std::string, int> file_sections_;  // -> line of its first header
  Sections from_file_;
  Sections from_flags_;
  std::map<std::string, std::string> environment_;
  std::map<std::string, std::set<std::string>> known_;  // sections asked for -> keys
  std::map<std::string, SharedVariable> shared_;
};

}  // namespace imctl::host

#endif  // IMCTL_HOST_CORE_SETTINGS_H
