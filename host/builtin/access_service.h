// imctl.host.v1.Access.
#ifndef IMCTL_HOST_BUILTIN_ACCESS_SERVICE_H
#define IMCTL_HOST_BUILTIN_ACCESS_SERVICE_H

#include "imctl/auth/v1/authenticator.pb.h"
#include "imctl/host/v1/access.pb.h"
#include "imctl/sdk.h"

namespace imctl::host {

class Host;

class AccessService {
 public:
  AccessService(Module& module, Host& host);

 private:
  Result<v1::WhoAmIResponse> who_am_i(const v1::WhoAmIRequest&, const Context& context);
  Result<v1::ListAccessResponse> list(const v1::ListAccessRequest& request, const Context&);
  Task<Result<v1::CheckAccessResponse>> check(const v1::CheckAccessRequest& request,
                                              const Context& context);
  Result<v1::ListRolesResponse> list_roles(const v1::ListRolesRequest&, const Context&);

  Host& host_;
  const Method<auth::v1::ResolveRequest, auth::v1::Identity> resolve_;
};

}  // namespace imctl::host

#endif  // IMCTL_HOST_BUILTIN_ACCESS_SERVICE_H
