#include "grpc/unix_listener.h"

#include <fcntl.h>
#include <grpcpp/server.h>
#include <grpcpp/server_posix.h>
#include <poll.h>
#include <pwd.h>
#include <sys/eventfd.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <charconv>
#include <chrono>
#include <cstring>
#include <utility>
#include <vector>

namespace imctl::host {
namespace {

constexpr int kBacklog = 128;
constexpr std::chrono::milliseconds kNoRoomPause{100};

Status check_free(const std::string& path, const sockaddr_un& address) {
  struct stat info {};
  if (lstat(path.c_str(), &info) != 0) return {};
  if (!S_ISSOCK(info.st_mode)) {
    return {IMCTL_FAILED_PRECONDITION, "host.socket: " + path + " exists and is not a socket"};
  }
  // What a killed host left behind is in nobody's use; a live one is not ours to take.
  int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  bool alive =
      fd >= 0 && connect(fd, reinterpret_cast<const sockaddr*>(&address), sizeof(address)) == 0;
  if (fd >= 0) close(fd);
  if (alive) {
    return {IMCTL_FAILED_PRECONDITION, "host.socket: another process serves " + path};
  }
  unlink(path.c_str());
  return {};
}

std::string user_name(uid_t uid) {
  std::array<char, 4096> buffer{};
  passwd entry{};
  passwd* found = nullptr;
  if (getpwuid_r(uid, &entry, buffer.data(), buffer.size(), &found) == 0 && found != nullptr) {
    return entry.pw_name;
  }
  return "uid-" + std::to_string(uid);
}

bool is_in_group(int connection, gid_t own, gid_t primary) {
  if (primary == own) return true;
  std::vector<gid_t> groups(64);
  for (;;) {
    auto size = static_cast<socklen_t>(groups.size() * sizeof(gid_t));
    if (getsockopt(connection, SOL_SOCKET, SO_PEERGROUPS, groups.data(), &size) == 0) {
      groups.resize(size / sizeof(gid_t));
      return std::find(groups.begin(), groups.end(), own) != groups.end();
    }
    if (errno != ERANGE || size / sizeof(gid_t) <= groups.size()) return false;
    groups.resize(size / sizeof(gid_t));
  }
}

std::shared_ptr<const UnixListener::Peer> peer_of(int connection) {
  ucred who{};
  socklen_t size = sizeof(who);
  auto peer = std::make_shared<UnixListener::Peer>();
  peer->name = "unix:";
  if (getsockopt(connection, SOL_SOCKET, SO_PEERCRED, &who, &size) != 0) return peer;
  peer->administrator =
      who.uid == 0 || who.uid == geteuid() || is_in_group(connection, getegid(), who.gid);
  // Looking a name up may take long where accounts come over the network: not for everybody.
  if (peer->administrator) peer->name += user_name(who.uid);
  return peer;
}

}  // namespace

Result<std::unique_ptr<UnixListener>> UnixListener::open(const std::string& path, uint32_t mode) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (path.size() >= sizeof(address.sun_path)) {
    return Status(IMCTL_FAILED_PRECONDITION,
                  "host.socket: " + path + " is longer than a unix socket's path may be (" +
                      std::to_string(sizeof(address.sun_path) - 1) + " bytes): name a shorter one");
  }
  std::memcpy(address.sun_path, path.data(), path.size());
  Status status = check_free(path, address);
  if (!status.ok()) return status;
  int listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  mode_t mask = umask(0177);  // nobody else until it has its mode
  bool bound =
      listener >= 0 && bind(listener, reinterpret_cast<sockaddr*>(&address), sizeof(address)) == 0;
  umask(mask);
  if (!bound || chmod(path.c_str(), mode) != 0 || listen(listener, kBacklog) != 0) {
    std::string why = std::strerror(errno);
    if (listener >= 0) close(listener);
    return Status(IMCTL_FAILED_PRECONDITION, "cannot listen on the socket " + path + ": " + why +
                                                 ": may this user write there? (host.socket)");
  }
  return std::unique_ptr<UnixListener>(
      new UnixListener(path, listener, eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)));
}

UnixListener::UnixListener(std::string path, int listener, int wake)
    : path_(std::move(path)), listener_(listener), wake_(wake) {}

UnixListener::~UnixListener() {
  stop();
  close(listener_);
  close(wake_);
  unlink(path_.c_str());
}

void UnixListener::start(grpc::Server* server) {
  thread_ = std::thread([this, server] { loop(server); });
}

void UnixListener::stop() {
  if (!thread_.joinable()) return;
  (void)eventfd_write(wake_, 1);
  thread_.join();
}

void UnixListener::loop(grpc::Server* server) {
  pthread_setname_np(pthread_self(), "unix-listener");
  std::array<pollfd, 2> wanted = {pollfd{wake_, POLLIN, 0}, pollfd{listener_, POLLIN, 0}};
  for (;;) {
    if (poll(wanted.data(), wanted.size(), -1) < 0) {
      if (errno != EINTR) std::this_thread::sleep_for(kNoRoomPause);
      continue;
    }
    if (wanted[0].revents != 0) return;
    int connection = accept4(listener_, nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK);
    if (connection < 0) {
      // Out of files or memory: it stays in the queue, and must not be asked for in a busy loop.
      if (errno != EAGAIN && errno != ECONNABORTED && errno != EINTR) {
        (void)poll(wanted.data(), 1, static_cast<int>(kNoRoomPause.count()));
      }
      continue;
    }
    std::shared_ptr<const Peer> peer = peer_of(connection);
    connection = apart(connection);
    if (connection < 0) continue;  // half of all that may be open is: nobody else can be told apart
    {
      std::lock_guard lock(mutex_);
      peers_[connection] = std::move(peer);
    }
    grpc::AddInsecureChannelFromFd(server, connection);
  }
}

// gRPC knows a connection by its descriptor only. A call that is still being started when its
// connection ends must not be taken for one of the next connection: so each gets the next number
// that is free above the last one's, from the middle of what may be open on, and none comes back
// soon.
int UnixListener::apart(int connection) {
  rlimit limit{};
  if (getrlimit(RLIMIT_NOFILE, &limit) != 0) return connection;
  constexpr rlim_t kMost = 1 << 20;
  const int end = static_cast<int>(std::min(limit.rlim_cur, kMost));
  int moved = -1;
  if (last_ + 1 < end) moved = fcntl(connection, F_DUPFD_CLOEXEC, std::max(last_ + 1, end / 2));
  if (moved < 0) moved = fcntl(connection, F_DUPFD_CLOEXEC, end / 2);
  close(connection);
  if (moved >= 0) last_ = moved;
  return moved;
}

std::shared_ptr<const UnixListener::Peer> UnixListener::find(std::string_view peer) const {
  constexpr std::string_view kKind = "fd:";
  int number = 0;
  if (!peer.starts_with(kKind) ||
      std::from_chars(peer.data() + kKind.size(), peer.data() + peer.size(), number).ec !=
          std::errc()) {
    return nullptr;
  }
  std::lock_guard lock(mutex_);
  auto at = peers_.find(number);
  return at == peers_.end() ? nullptr : at->second;
}

}  // namespace imctl::host
