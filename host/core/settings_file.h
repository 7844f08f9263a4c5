// The config file's form, before anything is known of what is in it.
//
//   # a comment; `;` at the start of a line too
//   [section]
//   key = value        # a comment: after a blank
//   uri = x:y#part     (no blank before it: `#` belongs to the value)
//   other = " quoted # "   quotes keep blanks and #; in them \" and \\ stand for " and \.
//
// Names of sections and keys are of letters, digits, `-` and `_`. Sections may be continued later.
#ifndef IMCTL_HOST_CORE_SETTINGS_FILE_H
#define IMCTL_HOST_CORE_SETTINGS_FILE_H

#include <map>
#include <string>
#include <vector>

#include "imctl/status.h"

namespace imctl::host {

struct SettingsFile {
  struct Entry {
    std::string section;
    std::string key;
    std::string text;
    int line;
  };
  std::vector<Entry> entries;           // as they stand in the file
  std::map<std::string, int> sections;  // -> line of its first header
};

// An error names the file and the line, and never shows what is on it.
Result<SettingsFile> read_settings_file(const std::string& path);
// The same of a file's content; `name` is what errors call it.
Result<SettingsFile> parse_settings(const std::string& content, const std::string& name);

}  // namespace imctl::host

#endif  // IMCTL_HOST_CORE_SETTINGS_FILE_H
