// Modules switched on and off, replaced and put back by people: each a change of the settings that
// is carried out at once.
#ifndef IMCTL_HOST_CORE_MODULE_ADMIN_H
#define IMCTL_HOST_CORE_MODULE_ADMIN_H

#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "core/modules.h"
#include "core/pending_change.h"
#include "imctl/status.h"

namespace imctl::host {

class Host;

struct ModuleChange {
  std::string module;
  std::string action;  // "started", "stopped", "replaced"
  std::string version;
  std::string where;
  SwapReport swap;
};

// All functions may take long and be called from any thread; one works at a time.
class ModuleAdmin {
 public:
  using Changes = std::vector<ModuleChange>;

  explicit ModuleAdmin(Host* host) : host_(host) {}

  Result<Changes> enable(const std::vector<std::string>& names, const Author& author);
  Result<Changes> disable(const std::string& name, bool cascade, const Author& author);
  Result<Changes> reload(const std::string& name, const Author& author);
  // `signature` may be empty.
  Result<Changes> upgrade(const std::string& name, std::string_view content,
                          std::string_view signature, const Author& author);
  Result<Changes> rollback(const std::string& name, const Author& author);
  // The host at `address` is not any more what was described.
  void refresh_remote(const std::string& address);

 private:
  // Edits the settings, makes those of `only` be what they then ask for, and keeps them.
  Result<Changes> change(const SettingsEditor& edit, const std::set<std::string>& only,
                         const std::set<std::string>& again, const Author& author,
                         const std::string& why);
  Result<std::set<std::string>> with_required(const std::vector<std::string>& names) const;
  Result<std::set<std::string>> with_dependents(const std::string& name, bool cascade) const;
  Status check_known(const std::string& name) const;
  // Where a new build is kept.
  Result<std::string> keep(const std::string& name, std::string_view content,
                           std::string_view signature) const;

  Host* const host_;
};

}  // namespace imctl::host

#endif  // IMCTL_HOST_CORE_MODULE_ADMIN_H
