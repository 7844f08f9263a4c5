// How the command line reaches a host: over gRPC to a running one, or in this process (--embedded).
#ifndef IMCTL_HOST_CLI_TRANSPORT_H
#define IMCTL_HOST_CLI_TRANSPORT_H

#include <chrono>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "imctl/status.h"

namespace imctl::host::cli {

struct CallRequest {
  std::string method;  // "/package.Service/Method"
  bool client_streams = false;
  bool server_streams = false;
  bool dry_run = false;
  std::string call_id;                  // empty: the host makes one
  std::chrono::nanoseconds timeout{0};  // 0: none
};

class Transport {
 public:
  virtual ~Transport() = default;

  // Makes one call and waits for its end. `next_request` is asked for messages on another thread or
  // this one, one at a time, until it gives nothing; a unary method is asked once. `on_reply` is
  // told each reply as it comes, on this thread; false cancels the call.
  virtual Status call(const CallRequest& request,
                      const std::function<std::optional<std::string>()>& next_request,
                      const std::function<bool(std::string)>& on_reply) = 0;

  // Ends the call in progress with CANCELLED; from any thread or a signal-waiting thread.
  virtual void cancel() = 0;

  // What the host calls the last call that failed; empty if it did not get there.
  virtual std::string call_id() const { return {}; }

  // Where it leads, for messages: "unix:/run/imctl/imctl.sock".
  virtual std::string where() const = 0;
};

}  // namespace imctl::host::cli

#endif  // IMCTL_HOST_CLI_TRANSPORT_H
