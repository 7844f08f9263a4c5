// What a setting is for and how it is written, from its .proto: comments, type, options.
#ifndef IMCTL_HOST_CORE_SETTINGS_EXPLAIN_H
#define IMCTL_HOST_CORE_SETTINGS_EXPLAIN_H

#include <string>
#include <vector>

#include "imctl/status.h"

namespace imctl::host {

class Host;

struct SettingExplanation {
  std::string key;
  std::string type;  // "text", "size", "list of durations"
  std::string default_text;
  std::string bounds;  // "1..1000", "at least 1KiB", a pattern, the choices
  bool live = false;
  bool secret = false;
  bool required = false;
  std::vector<std::string> env;  // variables that set it; the first wins
  std::string help;
};

// Of a setting, a section, or, if `key` is empty, all sections of modules that run. NOT_FOUND if
// there is none.
Result<std::vector<SettingExplanation>> explain_settings(const Host& host, const std::string& key);

}  // namespace imctl::host

#endif  // IMCTL_HOST_CORE_SETTINGS_EXPLAIN_H
