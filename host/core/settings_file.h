// The config file's form, before anything is known of what is in it.
//
//   # a comment; `;` at the start of a line too
//   [section]
//   key = value        # a comment: after a blank
//   uri = x:y#part     (no blank before it: `#` belongs to the value)
//   other = " quoted # "   quotes keep blanks and #; in them \" and \\ stand for " and \.
//
// Names of sections and keys are of letters, digits, `-` and `_`; a key may be several such names
// with dots between them. Sections may be continued later.
#ifndef IMCTL_HOST_CORE_SETTINGS_FILE_H
#define IMCTL_HOST_CORE_SETTINGS_FILE_H

#include <map>
#include <string>
#include <string_view>
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

// What is in the file; an error names it.
Result<std::string> read_settings_content(const std::string& path);
// An error names the file and the line, and never shows what is on it.
Result<SettingsFile> read_settings_file(const std::string& path);
// The same of a file's content; `name` is what errors call it.
Result<SettingsFile> parse_settings(const std::string& content, const std::string& name);

// One line of a file, for who edits it.
struct SettingsLine {
  enum class Kind { kOther, kSection, kEntry };  // kOther: empty or a comment
  Kind kind = Kind::kOther;
  std::string name;  // the section's or the key
  std::string text;  // an entry's value
  // Where an entry's value stands in the line, with its quotes. An empty one stands after the `=`.
  size_t begin = 0;
  size_t end = 0;
};
// `line` has no line end. The error is a clause to follow "FILE:LINE: "; it shows no value.
Result<SettingsLine> scan_settings_line(std::string_view line);

bool is_section_name(std::string_view text);
bool is_setting_key(std::string_view text);

}  // namespace imctl::host

#endif  // IMCTL_HOST_CORE_SETTINGS_FILE_H
