// One call that another host serves: its bytes go there and the answer's come back, over gRPC.
#ifndef IMCTL_HOST_GRPC_REMOTE_CALL_H
#define IMCTL_HOST_GRPC_REMOTE_CALL_H

#include <grpcpp/generic/generic_stub.h>
#include <grpcpp/grpcpp.h>

#include <condition_variable>
#include <memory>
#include <mutex>
#include <string>
#include <utility>

#include "core/remote_hosts.h"
#include "road/buffer.h"
#include "road/call.h"

namespace imctl::host {

// Counts the calls that gRPC may still be calling back for: a channel must outlive them, and must
// not be destroyed by the last of them.
class CallsInWork {
 public:
  void add() {
    std::lock_guard lock(mutex_);
    ++count_;
  }
  void remove() {
    std::lock_guard lock(mutex_);
    if (--count_ == 0) empty_.notify_all();
  }
  void wait_empty() {
    std::unique_lock lock(mutex_);
    empty_.wait(lock, [this] { return count_ == 0; });
  }

 private:
  std::mutex mutex_;
  std::condition_variable empty_;
  size_t count_ = 0;
};

// The host that calls go to.
struct RemoteTarget {
  RemoteTarget(std::string where, RemoteSettings with, const std::shared_ptr<grpc::Channel>& over)
      : address(std::move(where)), settings(std::move(with)), stub(over) {}

  const std::string address;
  const RemoteSettings settings;
  grpc::GenericStub stub;
  const std::shared_ptr<CallsInWork> in_work = std::make_shared<CallsInWork>();
};

struct RemoteMethod {
  RemoteTarget* host;
  std::string name;
  bool client_streams = false;
  bool server_streams = false;
};

// Forwards `call`, which it finishes in the end. `method` stays until then.
void forward_call(const RemoteMethod& method, Call* call, BufferRef request);

}  // namespace imctl::host

#endif  // IMCTL_HOST_GRPC_REMOTE_CALL_H
