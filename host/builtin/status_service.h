// imctl.host.v1.Status.
#ifndef IMCTL_HOST_BUILTIN_STATUS_SERVICE_H
#define IMCTL_HOST_BUILTIN_STATUS_SERVICE_H

#include "imctl/host/v1/status.pb.h"
#include "imctl/sdk.h"

namespace imctl::host {

class Host;

// [pool]
v1::GetStatusResponse status_of(Host& host);

class StatusService {
 public:
  StatusService(Module& module, Host& host);

 private:
  Result<v1::GetStatusResponse> get(const v1::GetStatusRequest&, const Context&) {
    return status_of(host_);
  }
  Task<Result<v1::TopResponse>> top(const v1::TopRequest& request, const Context& context);

  Host& host_;
};

}  // namespace imctl::host

#endif  // IMCTL_HOST_BUILTIN_STATUS_SERVICE_H
