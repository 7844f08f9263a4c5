// imctl.host.v1.Log.
#ifndef IMCTL_HOST_BUILTIN_LOG_SERVICE_H
#define IMCTL_HOST_BUILTIN_LOG_SERVICE_H

#include "imctl/host/v1/log.pb.h"
#include "imctl/sdk.h"

namespace imctl::host {

class Host;

class LogService {
 public:
  LogService(Module& module, Host& host);

 private:
  Task<Status> tail(const v1::TailLogRequest& request, Writer<v1::TailLogResponse>& writer);
  Result<v1::LogLevelResponse> level(const v1::LogLevelRequest& request, const Context& context);

  Host& host_;
};

}  // namespace imctl::host

#endif  // IMCTL_HOST_BUILTIN_LOG_SERVICE_H
