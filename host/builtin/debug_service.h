// imctl.host.v1.Debug.
#ifndef IMCTL_HOST_BUILTIN_DEBUG_SERVICE_H
#define IMCTL_HOST_BUILTIN_DEBUG_SERVICE_H

#include "imctl/host/v1/debug.pb.h"
#include "imctl/sdk.h"

namespace imctl::host {

class Host;

// Of one module, or of all if `module` is empty. [pool]
Result<v1::DebugStateResponse> state_of(Host& host, const std::string& module);
// [pool]
v1::DebugStacksResponse stacks_of();

class DebugService {
 public:
  DebugService(Module& module, Host& host);

 private:
  Result<v1::DebugStateResponse> state(const v1::DebugStateRequest& request, const Context&) {
    return state_of(host_, request.module());
  }
  Result<v1::DebugStacksResponse> stacks(const v1::DebugStacksRequest&, const Context&) {
    return stacks_of();
  }
  Task<Status> bundle(const v1::DebugBundleRequest&, Writer<v1::DebugBundleResponse>& writer);

  Host& host_;
};

}  // namespace imctl::host

#endif  // IMCTL_HOST_BUILTIN_DEBUG_SERVICE_H
