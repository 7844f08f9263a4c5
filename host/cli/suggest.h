// "Did you mean ...?"
#ifndef IMCTL_HOST_CLI_SUGGEST_H
#define IMCTL_HOST_CLI_SUGGEST_H

#include <string>
#include <string_view>
#include <vector>

namespace imctl::host::cli {

// The candidate that is nearest to what was typed, or empty if none is near: swapped neighbours,
// missing, extra and wrong letters count one each, and a third of the letters may be off.
std::string nearest(std::string_view typed, const std::vector<std::string>& candidates);

// " (did you mean `x`?)", or empty.
std::string did_you_mean(std::string_view typed, const std::vector<std::string>& candidates);

}  // namespace imctl::host::cli

#endif  // IMCTL_HOST_CLI_SUGGEST_H
