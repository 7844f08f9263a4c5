// A line as a shell takes it apart.
#ifndef IMCTL_HOST_CLI_WORDS_H
#define IMCTL_HOST_CLI_WORDS_H

#include <string>
#include <string_view>
#include <vector>

#include "imctl/status.h"

namespace imctl::host::cli {

// Blanks part words; 'a b' is taken as it is, in "a b" a backslash quotes ", \ and $, outside any
// character; `#` where a word would begin starts a comment. Nothing is expanded. INVALID_ARGUMENT:
// a quote that does not end.
Result<std::vector<std::string>> shell_words(std::string_view line);

}  // namespace imctl::host::cli

#endif  // IMCTL_HOST_CLI_WORDS_H
