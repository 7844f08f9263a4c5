#include "road/road.h"

namespace imctl::host {

std::optional<Status> Road::identify(Call& /*call*/) {
  return Status(IMCTL_UNAUTHENTICATED, "nobody here knows whose the credential is");
}

Status Road::check_owner(const Call& /*call*/, const MethodInfo& /*method*/) {
  return {IMCTL_PERMISSION_DENIED, "nobody here knows whose it is"};
}

}  // namespace imctl::host
