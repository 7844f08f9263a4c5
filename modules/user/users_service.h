// imctl.user.v1.Users, but for Import.
#ifndef IMCTL_USER_USERS_SERVICE_H
#define IMCTL_USER_USERS_SERVICE_H

#include "auth_service.h"
#include "core.h"

namespace imctl::user {

class UsersService {
 public:
  UsersService(Core* core, AuthService* auth, Module* module);

 private:
  Task<Result<v1::User>> add(const v1::AddUserRequest& request, const Context& context);
  Task<Result<v1::User>> get(const v1::GetUserRequest& request, const Context& context);
  Task<Status> list(const v1::ListUsersRequest& request, Writer<v1::User>& writer);
  Task<Result<v1::User>> set(const v1::SetUserRequest& request, const Context& context);
  Task<Result<v1::User>> disable(const v1::DisableUserRequest& request, const Context& context);
  Task<Result<v1::User>> enable(const v1::EnableUserRequest& request, const Context& context);
  Task<Result<v1::DeleteUserResponse>> remove(const v1::DeleteUserRequest& request,
                                              const Context& context);
  Task<Result<v1::SetPasswordResponse>> set_password(const v1::SetPasswordRequest& request,
                                                     const Context& context);
  Task<Status> dump(const v1::DumpUsersRequest& request, Writer<v1::ImportLine>& writer);
  Task<Status> export_user(const v1::ExportUserRequest& request, Writer<v1::ExportedItem>& writer);
  Task<Result<v1::User>> grant(const v1::GrantRolesRequest& request, const Context& context);
  Task<Result<v1::User>> revoke(const v1::RevokeRolesRequest& request, const Context& context);

  // edit_user of whom a request names.
  Task<Result<v1::User>> edit(std::string user, uint64_t revision, bool dry_run,
                              std::function<Status(StoredUser*)> change);
  // Takes the user out, with what keeps them out; nothing else is removed yet.
  Task<Result<StoredTombstone>> bury(std::string address, std::string by);

  Core* const core_;
  AuthService* const auth_;
};

}  // namespace imctl::user

#endif  // IMCTL_USER_USERS_SERVICE_H
