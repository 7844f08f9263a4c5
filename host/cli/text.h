// Text for terminals: widths, safe cells, wrapping.
#ifndef IMCTL_HOST_CLI_TEXT_H
#define IMCTL_HOST_CLI_TEXT_H

#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace imctl::host::cli {

// An environment variable's value, empty if unset. The program reads its environment only before it
// starts threads that could change it.
std::string env(const char* name);

// Columns that UTF-8 text takes in a terminal. Needs a UTF-8 LC_CTYPE for what is not ASCII.
size_t display_width(std::string_view text);

// Cuts to `width` columns, the last of which is then "…".
std::string fit(std::string_view text, size_t width);

// One line that cannot drive a terminal: control characters and bytes that are not UTF-8 are shown
// as \n, \t, \x1b.
std::string clean_line(std::string_view text);

std::string lower(std::string_view text);
std::string join(const std::vector<std::string>& parts, std::string_view separator);
std::vector<std::string> split_words(std::string_view text);

// Breaks text at spaces so that lines are at most `width` columns; every line starts with `indent`
// spaces, the first one too. Line ends stay; items of a list ("- ") hang.
std::string wrap(std::string_view text, size_t indent, size_t width);

// Two columns; what does not fit beside the first goes below it.
using TwoColumns = std::vector<std::pair<std::string, std::string>>;
std::string two_columns(const TwoColumns& lines, size_t width);

// "ackCount", "ack_count" -> "ack-count".
std::string dashed(std::string_view field_name);

}  // namespace imctl::host::cli

#endif  // IMCTL_HOST_CLI_TEXT_H
