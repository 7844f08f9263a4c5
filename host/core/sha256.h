// SHA-256.
#ifndef IMCTL_HOST_CORE_SHA256_H
#define IMCTL_HOST_CORE_SHA256_H

#include <string>
#include <string_view>

namespace imctl::host {

// 64 hexadecimal digits, in lower case.
std::string sha256_hex(std::string_view bytes);

}  // namespace imctl::host

#endif  // IMCTL_HOST_CORE_SHA256_H
