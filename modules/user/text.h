// Checks of what people write. From any thread.
#ifndef IMCTL_USER_TEXT_H
#define IMCTL_USER_TEXT_H

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "imctl/status.h"

namespace imctl::user {

// INVALID_ARGUMENT if it is longer, no UTF-8, or has control characters; `what` is its name in
// words.
Status check_text(std::string_view what, std::string_view text, size_t max);

// For an error: cut short, control characters escaped.
std::string quoted(std::string_view text);

// The name of a role, of an attribute: letters, digits, '.', '_' and '-'.
Status check_name(std::string_view what, std::string_view name, size_t max);

// Methods as in [roles]: "package.Service/Method" with `*` for any text.
Status check_scope(std::string_view entry);

// Times as RFC 3339 has them, in UTC, to the second; a fraction is left out. Seconds since 1970.
std::optional<int64_t> parse_time(const std::string& text);
std::string format_time(int64_t seconds);

}  // namespace imctl::user

#endif  // IMCTL_USER_TEXT_H
