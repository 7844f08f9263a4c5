// imctl.auth.v1: Authenticator and Login.
#ifndef IMCTL_USER_AUTH_SERVICE_H
#define IMCTL_USER_AUTH_SERVICE_H

#include "core.h"
#include "imctl/auth/v1/login.pb.h"

namespace imctl::user {

class AuthService {
 public:
  AuthService(Core* core, Module* module);

  // Whether a password is that of a user, for whoever asks from `peer`. UNAUTHENTICATED: it is not,
  // or there is no such user, or they may not come in: the same words after the same time.
  // RESOURCE_EXHAUSTED: too many attempts.
  struct Proved {
    Kept<StoredUser> user;
    uint64_t credentials_revision = 0;
  };
  Task<Result<Proved>> prove(std::string user, std::string password, std::string peer);

 private:
  Task<Result<auth::v1::Identity>> authenticate(const auth::v1::AuthenticateRequest& request,
                                                const Context& context);
  Task<Result<auth::v1::Identity>> check_token(std::string token);
  Task<Result<auth::v1::Identity>> resolve(const auth::v1::ResolveRequest& request,
                                           const Context& context);
  Task<Status> watch(const auth::v1::WatchRequest& request, Writer<auth::v1::Change>& writer);
  Task<Result<auth::v1::LoginResponse>> login(const auth::v1::LoginRequest& request,
                                              const Context& context);
  Task<Result<auth::v1::LogoutResponse>> logout(const auth::v1::LogoutRequest& request,
                                                const Context& context);

  Core* const core_;
};

}  // namespace imctl::user

#endif  // IMCTL_USER_AUTH_SERVICE_H
