#include "sockets.h"

#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <stdexcept>

namespace imctl::bench {

Sockets::Sockets() : epoll_(epoll_create1(EPOLL_CLOEXEC)) {}

Sockets::~Sockets() {
  for (const Socket& socket : sockets_) close(socket.fd);
  close(epoll_);
}

size_t Sockets::add(int fd) {
  epoll_event event{};
  event.events = EPOLLIN;
  event.data.u64 = sockets_.size();
  epoll_ctl(epoll_, EPOLL_CTL_ADD, fd, &event);
  sockets_.push_back({fd, false, {}, {}});
  return sockets_.size() - 1;
}

std::string* Sockets::out(size_t socket) {
  Socket& mine = sockets_[socket];
  if (!mine.dirty) dirty_.push_back(socket);
  mine.dirty = true;
  return &mine.out;
}

void Sockets::turn(int milliseconds, const Take& take) {
  flush();
  std::array<epoll_event, 64> events;
  const int count = epoll_wait(epoll_, events.data(), events.size(), milliseconds);
  for (int i = 0; i < count; ++i) receive(events[static_cast<size_t>(i)].data.u64, take);
  flush();
}

void Sockets::flush() {
  for (size_t socket : dirty_) {
    Socket& mine = sockets_[socket];
    for (size_t sent = 0; sent < mine.out.size();) {
      const ssize_t part =
          send(mine.fd, mine.out.data() + sent, mine.out.size() - sent, MSG_NOSIGNAL);
      if (part <= 0) throw std::runtime_error("a connection is lost");
      sent += static_cast<size_t>(part);
    }
    mine.out.clear();
    mine.dirty = false;
  }
  dirty_.clear();
}

void Sockets::receive(size_t socket, const Take& take) {
  static thread_local std::array<char, 65536> part;
  const ssize_t size = recv(sockets_[socket].fd, part.data(), part.size(), MSG_DONTWAIT);
  if (size < 0 && (errno == EAGAIN || errno == EINTR)) return;
  if (size <= 0) throw std::runtime_error("a server ends a connection");
  const std::string_view fresh(part.data(), static_cast<size_t>(size));
  std::string& kept = sockets_[socket].in;
  if (kept.empty()) {
    kept.assign(fresh.substr(take(socket, fresh)));
    return;
  }
  kept += fresh;
  kept.erase(0, take(socket, kept));
}

}  // namespace imctl::bench
