#include "road/identity.h"

#include <algorithm>

#include "road/glob.h"

namespace imctl::host {
namespace {

bool any_of(const std::vector<std::string>& globs, std::string_view method) {
  return std::any_of(globs.begin(), globs.end(),
                     [&](const std::string& glob) { return stands_for(glob, method); });
}

}  // namespace

bool stands_for(std::string_view glob, std::string_view method) {
  const bool has_slash = glob.starts_with('/');
  return glob_matches(glob, method.substr(has_slash || method.empty() ? 0 : 1));
}

bool Grant::is_in_scope(std::string_view method) const {
  return scope.empty() || any_of(scope, method);
}

bool Grant::has_role_for(std::string_view method) const { return any_of(allowed, method); }

}  // namespace imctl::host
