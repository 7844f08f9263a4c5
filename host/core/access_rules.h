// Sections [roles] and [certificates]: what users may do beyond what all of them may, and whom
// certificates stand for.
#ifndef IMCTL_HOST_CORE_ACCESS_RULES_H
#define IMCTL_HOST_CORE_ACCESS_RULES_H

#include <map>
#include <string>
#include <vector>

#include "core/settings.h"
#include "imctl/module.h"
#include "imctl/status.h"

namespace imctl::host {

// Who somebody is with whom a certificate is proof enough.
struct CertifiedName {
  imctl_principal_kind kind =
      IMCTL_PRINCIPAL_NONE;  // of a user, a node, an administrator; or nobody
  std::string name;
};

struct AccessRules {
  std::map<std::string, std::vector<std::string>>
      roles;                                          // globs of methods; always with kAdminRole
  std::map<std::string, CertifiedName> certificates;  // by a name that the certificate has

  // Whom a certificate stands for: what [certificates] says of the first of its names (DNS names,
  // the common name) that is there; else its only URI of the form imctl://user/ann@example.org,
  // imctl://node/NAME or imctl://admin/NAME; else nobody.
  CertifiedName find(const std::vector<std::string>& uris,
                     const std::vector<std::string>& names) const;
};

// A role that is there without being in [roles]: all methods.
inline constexpr const char* kAdminRole = "admin";

// Errors say which line, and what is wrong with it. `shown`: gets the sections' settings.
Result<AccessRules> read_access_rules(SettingsSources& sources,
                                      std::map<std::string, std::vector<SettingValue>>* shown);

}  // namespace imctl::host

#endif  // IMCTL_HOST_CORE_ACCESS_RULES_H
