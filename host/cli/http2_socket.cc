#include "cli/http2_socket.h"

#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <memory>
#include <system_error>

namespace imctl::host::cli {
namespace {

std::string text_of(int error) { return std::generic_category().message(error); }

Status refused(const std::string& reason) { return {IMCTL_UNAVAILABLE, reason}; }

// Waits for a connection that is being made.
Status wait_connected(int fd, std::chrono::steady_clock::time_point until, int wake) {
  while (true) {
    auto left =
        std::chrono::ceil<std::chrono::milliseconds>(until - std::chrono::steady_clock::now());
    std::array<pollfd, 2> fds = {{{fd, POLLOUT, 0}, {wake, POLLIN, 0}}};
    int n = ::poll(fds.data(), fds.size(),
                   static_cast<int>(std::clamp<int64_t>(left.count(), 0, INT32_MAX)));
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return refused(text_of(errno));
    if (fds[1].revents != 0) return {IMCTL_CANCELLED, "interrupted"};
    if (n == 0) return {IMCTL_DEADLINE_EXCEEDED, "the connection takes too long"};
    int error = 0;
    socklen_t size = sizeof(error);
    (void)::getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &size);
    return error == 0 ? Status() : refused(text_of(error));
  }
}

Result<int> connect_one(const sockaddr* address, socklen_t size, int family,
                        std::chrono::steady_clock::time_point until, int wake) {
  int fd = ::socket(family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  if (fd < 0) return refused(text_of(errno));
  if (family != AF_UNIX) {
    int on = 1;
    (void)::setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
  }
  if (::connect(fd, address, size) == 0) return fd;
  // A unix socket whose queue is full says EAGAIN: then nobody is there for us.
  Status status = errno == EINPROGRESS ? wait_connected(fd, until, wake) : refused(text_of(errno));
  if (status.ok()) return fd;
  ::close(fd);
  return status;
}

}  // namespace

Result<int> connect_to(const std::string& address, std::chrono::nanoseconds patience, int wake) {
  auto until = std::chrono::steady_clock::now() + patience;
  if (address.starts_with("unix:")) {
    std::string path = address.substr(5);
    sockaddr_un name{};
    name.sun_family = AF_UNIX;
    if (path.size() >= sizeof(name.sun_path)) return refused("the path is too long for a socket");
    std::memcpy(name.sun_path, path.data(), path.size());
    return connect_one(reinterpret_cast<const sockaddr*>(&name), sizeof(name), AF_UNIX, until,
                       wake);
  }
  size_t colon = address.rfind(':');
  std::string host = address.substr(0, colon);
  if (host.starts_with('[') && host.ends_with(']')) host = host.substr(1, host.size() - 2);
  addrinfo hints{};
  hints.ai_family = AF_UNSPEC;
  hints.ai_socktype = SOCK_STREAM;
  addrinfo* found = nullptr;
  int error = ::getaddrinfo(host.c_str(), address.substr(colon + 1).c_str(), &hints, &found);
  if (error != 0) return refused(::gai_strerror(error));
  std::unique_ptr<addrinfo, decltype(&::freeaddrinfo)> list(found, &::freeaddrinfo);
  Result<int> result = Status(IMCTL_UNAVAILABLE, "the name has no address");
  for (addrinfo* one = found; one != nullptr; one = one->ai_next) {
    result = connect_one(one->ai_addr, one->ai_addrlen, one->ai_family, until, wake);
    if (result.ok()) break;
  }
  return result;
}

}  // namespace imctl::host::cli
