// Text as a JSON string.
#ifndef IMCTL_HOST_CORE_JSON_TEXT_H
#define IMCTL_HOST_CORE_JSON_TEXT_H

#include <string>
#include <string_view>

namespace imctl::host {

// In quotes. What is not UTF-8 becomes U+FFFD; control characters, DEL too, are escaped, so that
// what is printed drives no terminal and stays on one line.
void append_json_string(std::string* out, std::string_view text);

}  // namespace imctl::host

#endif  // IMCTL_HOST_CORE_JSON_TEXT_H
