// Addresses that lead nowhere but to this machine.
#ifndef IMCTL_HOST_ROAD_LOOPBACK_H
#define IMCTL_HOST_ROAD_LOOPBACK_H

#include <arpa/inet.h>

#include <string>
#include <string_view>

namespace imctl::host {

// Of "HOST:PORT": localhost, [::1], or a number of 127.0.0.0/8; a name that only begins so is none.
inline bool is_loopback(std::string_view address) {
  const std::string host(address.substr(0, address.rfind(':')));
  in_addr number{};
  return host == "localhost" || host == "[::1]" ||
         (host.starts_with("127.") && inet_pton(AF_INET, host.c_str(), &number) == 1);
}

}  // namespace imctl::host

#endif  // IMCTL_HOST_ROAD_LOOPBACK_H
