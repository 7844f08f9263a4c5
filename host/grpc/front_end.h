// gRPC in front of the dispatcher: a TCP port and a unix socket.
#ifndef IMCTL_HOST_GRPC_FRONT_END_H
#define IMCTL_HOST_GRPC_FRONT_END_H

#include <chrono>
#include <memory>
#include <string>
#include <vector>

#include "imctl/status.h"

namespace imctl::host {

class Host;

class FrontEnd {
 public:
  // Listens where host.config() says. Methods known now go on gRPC's fast path; what is loaded
  // later is served too. Errors name the address, why, and what to do.
  static Result<std::unique_ptr<FrontEnd>> start(Host& host);
  FrontEnd(const FrontEnd&) = delete;
  FrontEnd& operator=(const FrontEnd&) = delete;
  ~FrontEnd();

  // "127.0.0.1:50051", "unix:/path"; ports as they are bound.
  const std::vector<std::string>& addresses() const { return addresses_; }

  // Takes no more connections and calls; those in flight may end until `until`, then are cut off.
  // The host stops its modules meanwhile, which ends them; then finish().
  void close(std::chrono::system_clock::time_point until);
  // Waits for the end of all calls.
  void finish();

 private:
  struct Server;
  explicit FrontEnd(std::unique_ptr<Server> server);

  std::unique_ptr<Server> server_;
  std::vector<std::string> addresses_;
};

}  // namespace imctl::host

#endif  // IMCTL_HOST_GRPC_FRONT_END_H
