// Words and names in settings.
#ifndef IMCTL_HOST_CORE_SETTINGS_TEXT_H
#define IMCTL_HOST_CORE_SETTINGS_TEXT_H

#include <string>
#include <string_view>
#include <vector>

namespace imctl::host {

// Without blanks at either end.
std::string_view trim(std::string_view text);

// "a, b, c"
std::string join(const std::vector<std::string>& parts, std::string_view separator);

// The nearest of `names` to a mistyped `name`, or empty if none is near.
std::string nearest(std::string_view name, const std::vector<std::string>& names);

// The scheme of a URI: what stands before the first ':'; empty if there is none.
std::string_view scheme_of(std::string_view text);

// A URI's password is nobody's business even where the URI itself may be shown:
// "x://user:***@host". Other text is as it was.
std::string mask_password(std::string_view uri);

// IMCTL_<SECTION>__<KEY>, upper-cased, `-` as `_`. With an empty key: what such names start with.
std::string variable_name(std::string_view section, std::string_view key);

}  // namespace imctl::host

#endif  // IMCTL_HOST_CORE_SETTINGS_TEXT_H
