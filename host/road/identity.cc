#include "road/identity.h"

#include <fnmatch.h>

#include <algorithm>

namespace imctl::host {
namespace {

bool any_of(const std::vector<std::string>& globs, std::string_view method) {
  return std::any_of(globs.begin(), globs.end(),
                     [&](const std::string& glob) { return stands_for(glob, method); });
}

}  // namespace

bool stands_for(const std::string& glob, std::string_view method) {
  const bool has_slash = !glob.empty() && glob.front() == '/';
  std::string name(method.substr(has_slash || method.empty() ? 0 : 1));
  return ::fnmatch(glob.c_str(), name.c_str(), FNM_NOESCAPE) == 0;
}

bool Grant::is_in_scope(std::string_view method) const {
  return scope.empty() || any_of(scope, method);
}

bool Grant::has_role_for(std::string_view method) const { return any_of(allowed, method); }

}  // namespace imctl::host
