// The kinds of callers by name, as hosts tell each other and as the audit log has them.
#ifndef IMCTL_HOST_ROAD_PRINCIPAL_KIND_H
#define IMCTL_HOST_ROAD_PRINCIPAL_KIND_H

#include <algorithm>
#include <array>
#include <optional>
#include <string_view>
#include <utility>

#include "imctl/module.h"

namespace imctl::host {

inline constexpr std::array<std::pair<imctl_principal_kind, std::string_view>, 5> kPrincipalKinds =
    {{{IMCTL_PRINCIPAL_NONE, "none"},
      {IMCTL_PRINCIPAL_USER, "user"},
      {IMCTL_PRINCIPAL_NODE, "node"},
      {IMCTL_PRINCIPAL_ADMIN, "admin"},
      {IMCTL_PRINCIPAL_MODULE, "module"}}};

inline std::string_view principal_kind_name(imctl_principal_kind kind) {
  const auto* at = std::find_if(kPrincipalKinds.begin(), kPrincipalKinds.end(),
                                [kind](const auto& one) { return one.first == kind; });
  return at == kPrincipalKinds.end() ? std::string_view() : at->second;
}

inline std::optional<imctl_principal_kind> principal_kind(std::string_view name) {
  const auto* at = std::find_if(kPrincipalKinds.begin(), kPrincipalKinds.end(),
                                [name](const auto& one) { return one.second == name; });
  if (at == kPrincipalKinds.end()) return std::nullopt;
  return at->first;
}

}  // namespace imctl::host

#endif  // IMCTL_HOST_ROAD_PRINCIPAL_KIND_H
