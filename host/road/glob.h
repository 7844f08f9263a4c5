// Names against patterns with `*`.
#ifndef IMCTL_HOST_ROAD_GLOB_H
#define IMCTL_HOST_ROAD_GLOB_H

#include <string_view>

namespace imctl::host {

// Is it `pattern`, in which `*` stands for any characters, also none? In time that grows with the
// product of both lengths at most.
bool glob_matches(std::string_view pattern, std::string_view text);

}  // namespace imctl::host

#endif  // IMCTL_HOST_ROAD_GLOB_H
