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
  bool live = false;  // it may be changed while its module runs
  bool list = false;
  std::string default_text{};  // masked likewise
  // The value itself, however it was written: for comparing, never to be shown.
  std::string value{};
  // As it was written, where `text` does not show all of it: for who may have it.
  std::string hidden{};
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

// A setting whose key no schema knows.
struct FreeSetting {
  std::string key;     // without the section
  std::string text;    // as written; nothing is masked
  std::string source;  // "imctl.conf:12", "--set"

  // How to begin an error about it: "imctl.conf:12: bind.awakari.messages.Service".
  std::string origin(std::string_view section) const {
    return source + ": " + std::string(section) + "." + key;
  }
  SettingValue value(const std::string& section) const {
    return {section + "." + key, text, source, false, false, false, {}, text};
  }
};

// Which keys of a section are free.
enum class FreeKeys {
  kDotted,  // those with a dot; the others are settings, for section()
  kAll
};

// Everything that was said, before it is known what it means. Not for use from several threads.
class SettingsSources {
 public:
  // `file`: empty for none. `flags`: "section.key=value", where the first dot counts: keys may have
  // more. `environment`: all of it, name -> value.
  static Result<SettingsSources> load(const std::string& file,
                                      const std::vector<std::string>& flags,
                                      const std::map<std::string, std::string>& environment);
  // The same of a content that is in no file yet; `name` is what errors and sources call it.
  static Result<SettingsSources> load_content(
      const std::string& name, const std::string& content, const std::vector<std::string>& flags,
      const std::map<std::string, std::string>& environment);

  // Fills one message per schema from section `name`; the schemas share its keys. A flag wins over
  // the environment, the environment over the file, the file over the default; in the environment
  // IMCTL_<SECTION>__<KEY> wins over a setting's aliases, and an earlier alias over a later one.
  // Every field is set, but for those declared `optional` of which nobody says anything.
  //
  // An error names for every bad value the line, variable or flag, why, and what to do.
  Result<Section> section(const std::string& name,
                          const std::vector<const google::protobuf::Descriptor*>& schemas);

  // The free keys of section `name`, in alphabetical order; a flag wins over the file, and there
  // are no variables for them. With kDotted the section's other keys still go through section(), if
  // it has any. A key that stands twice in the file is an error.
  Result<std::vector<FreeSetting>> free_settings(const std::string& name, FreeKeys keys);

  // The sections that say something of a key in the file or with --set, in alphabetical order. (In
  // the environment a section's name cannot be told for sure.)
  std::vector<std::string> sections_with(const std::string& key) const;

  // Section `name` is that of a module which is installed but off: whatever is in it, check() lets
  // it pass, also if some of it was asked for.
  void known_elsewhere(const std::string& name) { elsewhere_.insert(name); }

  // What wins over the file's value of a setting, so that changing the file is of no effect:
  // "--set", "env IMCTL_HOST__LISTEN"; nothing if the file's counts. Of the variables that a
  // setting declares (DB_URI) only known once its section was asked for, as are the free keys.
  std::optional<std::string> overridden_by(const std::string& section,
                                           const std::string& key) const;

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

  // What is known of a section that was asked for.
  struct Known {
    std::set<std::string> keys;    // those of the schemas
    std::optional<FreeKeys> free;  // which others it has besides
  };

  // A variable that belongs to whichever module serves the scheme of its value.
  struct SharedVariable {
    bool taken = false;
    bool secret = false;
    std::map<std::string, std::vector<std::string>> served;  // section -> schemes
  };

  Status add_flags(const std::vector<std::string>& flags);
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
  std::string twice(const std::string& section, const std::string& key, const Given& given) const;
  static bool takes(const Known& known, const std::string& key);
  static std::string settings_of(const Known& known);
  std::string no_section(const std::string& section) const;
  void check_keys(const Sections& sections, std::vector<std::string>& problems) const;
  void check_environment(std::vector<std::string>& problems) const;
  void check_shared(std::vector<std::string>& problems) const;

  std::string file_;
  std::map<std::string, int> file_sections_;  // -> line of its first header
  Sections from_file_;
  Sections from_flags_;
  std::map<std::string, std::string> environment_;
  std::map<std::string, Known> known_;  // sections asked for
  std::set<std::string> elsewhere_;
  // Settings whose value an alias gives: (section, key) -> "env DB_URI".
  std::map<std::pair<std::string, std::string>, std::string> from_alias_;
  std::map<std::string, SharedVariable> shared_;
};

}  // namespace imctl::host

#endif  // IMCTL_HOST_CORE_SETTINGS_H
