// The unix socket, which knows who connects: gRPC 1.51's own does not tell.
#ifndef IMCTL_HOST_GRPC_UNIX_LISTENER_H
#define IMCTL_HOST_GRPC_UNIX_LISTENER_H

#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <thread>

#include "imctl/status.h"

namespace grpc {
class Server;
}

namespace imctl::host {

class UnixListener {
 public:
  // Listens there. `mode`: of the socket's file. Errors say what to do.
  static Result<std::unique_ptr<UnixListener>> open(const std::string& path, uint32_t mode);
  UnixListener(const UnixListener&) = delete;
  UnixListener& operator=(const UnixListener&) = delete;
  // Takes no more connections, and removes the socket.
  ~UnixListener();

  // Gives the server each connection, which is the server's from then on.
  void start(grpc::Server* server);
  void stop();

  // Who is at the other end of a connection.
  struct Peer {
    std::string name;            // "unix:root"; of an administrator
    bool administrator = false;  // root, the host's own user, or somebody of the host's own group
  };
  // Of a call, by what gRPC calls its peer, "fd:17"; nullptr if it came by another way. [any]
  std::shared_ptr<const Peer> find(std::string_view peer) const;

 private:
  UnixListener(std::string path, int listener, int wake);
  void loop(grpc::Server* server);
  int apart(int connection);

  const std::string path_;
  const int listener_;
  const int wake_;
  std::thread thread_;
  int last_ = 0;
  mutable std::mutex mutex_;
  std::map<int, std::shared_ptr<const Peer>> peers_;  // no more than there can be open files
};

}  // namespace imctl::host

#endif  // IMCTL_HOST_GRPC_UNIX_LISTENER_H
