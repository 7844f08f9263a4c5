// imctl.host.v1.Audit.
#ifndef IMCTL_HOST_BUILTIN_AUDIT_SERVICE_H
#define IMCTL_HOST_BUILTIN_AUDIT_SERVICE_H

#include "imctl/host/v1/audit.pb.h"
#include "imctl/sdk.h"

namespace imctl::host {

class Host;

class AuditService {
 public:
  AuditService(Module& module, Host& host);

 private:
  Task<Status> list(const v1::ListAuditRequest& request, Writer<v1::AuditRecords>& writer);
  Task<Status> tail(const v1::TailAuditRequest& request, Writer<v1::AuditRecords>& writer);
  Result<v1::VerifyAuditResponse> verify(const v1::VerifyAuditRequest& request,
                                         const Context& context);

  Host& host_;
};

}  // namespace imctl::host

#endif  // IMCTL_HOST_BUILTIN_AUDIT_SERVICE_H
