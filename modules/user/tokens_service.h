// imctl.user.v1.Tokens.
#ifndef IMCTL_USER_TOKENS_SERVICE_H
#define IMCTL_USER_TOKENS_SERVICE_H

#include "core.h"

namespace imctl::user {

class TokensService {
 public:
  TokensService(Core* core, Module* module);

 private:
  Task<Result<v1::CreateTokenResponse>> create(const v1::CreateTokenRequest& request,
                                               const Context& context);
  Task<Result<v1::ListTokensResponse>> list(const v1::ListTokensRequest& request,
                                            const Context& context);
  Task<Result<v1::RevokeTokenResponse>> revoke(const v1::RevokeTokenRequest& request,
                                               const Context& context);
  // The scope of a new token, which may not be wider than that of the one the call is made with.
  Task<int64_t> left_of(const Context& context);
  Task<Result<std::vector<std::string>>> allowed_scope(std::vector<std::string> wanted,
                                                       std::string credential);

  Core* const core_;
};

}  // namespace imctl::user

#endif  // IMCTL_USER_TOKENS_SERVICE_H
