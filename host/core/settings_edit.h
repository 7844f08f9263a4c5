// Changes settings in a config file's text and leaves all else as people wrote it: comments, order,
// blank lines, line ends, a byte order mark.
#ifndef IMCTL_HOST_CORE_SETTINGS_EDIT_H
#define IMCTL_HOST_CORE_SETTINGS_EDIT_H

#include <string>
#include <string_view>
#include <vector>

#include "core/settings_file.h"
#include "imctl/status.h"

namespace imctl::host {

// A config file's lines. Text only: what settings there are, and what they may be, is not known
// here. Not for use from several threads.
class SettingsEdit {
 public:
  // An error if the content is no config; `name` is what the error calls it.
  static Result<SettingsEdit> open(std::string_view content, const std::string& name);

  // Makes parse_settings() read exactly `text` as the one value of the setting. Where the setting
  // stands already its line keeps its form and its comment; a list's further lines go, and leave
  // their comments. Else it is added below the last setting of its section, or in a new section at
  // the end. INVALID_ARGUMENT for names and texts that no config can hold; it shows no text.
  Status set(const std::string& section, const std::string& key, std::string_view text);

  // Takes the setting's lines out, with the comments on them. False if there were none.
  bool unset(const std::string& section, const std::string& key);

  std::string content() const;

 private:
  struct Line {
    std::string text;
    std::string end;  // "\n", "\r\n"; the last line may have none
    SettingsLine meaning;
    std::string section;  // the one it is in
  };

  std::vector<size_t> find(SettingsLine::Kind kind, const std::string& section,
                           const std::string& name) const;
  Status insert(size_t at, const std::string& text, const std::string& section);
  Status add_section(const std::string& section);

  std::string byte_order_mark_;
  std::vector<Line> lines_;
};

}  // namespace imctl::host

#endif  // IMCTL_HOST_CORE_SETTINGS_EDIT_H
