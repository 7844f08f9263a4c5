// UTF-8, as it has to be.
#ifndef IMCTL_HOST_CORE_UTF8_H
#define IMCTL_HOST_CORE_UTF8_H

#include <cstddef>
#include <string_view>

namespace imctl::host {

// How many bytes the UTF-8 sequence at the start of `text`, which is not empty, has; 0: it is none.
size_t utf8_sequence(std::string_view text);

bool is_utf8(std::string_view text);

}  // namespace imctl::host

#endif  // IMCTL_HOST_CORE_UTF8_H
