// Users who proved who they are, and what they may do.
#ifndef IMCTL_HOST_ROAD_IDENTITY_H
#define IMCTL_HOST_ROAD_IDENTITY_H

#include <chrono>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace imctl::host {

class Call;

// Does a glob of section [roles] or of a token's scope, "imctl.user.v1.Users/*", stand for
// "/imctl.user.v1.Users/Get"?
bool stands_for(std::string_view glob, std::string_view method);

// One answer to who a caller is. Never changed: another answer is another grant.
struct Grant {
  std::string user;                                           // user@domain
  std::string credential;                                     // the token's name; may be empty
  std::vector<std::string> roles;                             //
  std::vector<std::string> allowed;                           // globs: what the roles are for
  std::vector<std::string> scope;                             // globs; empty: no bound
  std::optional<std::chrono::system_clock::time_point> ends;  // of the credential

  bool is_in_scope(std::string_view method) const;
  bool has_role_for(std::string_view method) const;
};

// Whoever looks after the credential that a call was made with.
class Identity {
 public:
  virtual ~Identity() = default;
  // A stream is open from now on, until closed(): it is ended when the credential is.
  virtual void opened(Call& call) = 0;
  virtual void closed(Call& call) = 0;
};

}  // namespace imctl::host

#endif  // IMCTL_HOST_ROAD_IDENTITY_H
