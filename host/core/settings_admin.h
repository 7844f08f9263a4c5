// Settings looked at and changed by people while the host runs. The file on disk is the truth; what
// it says is in force at once where the module can take it, else it waits for the module to be
// replaced or the host to be restarted.
#ifndef IMCTL_HOST_CORE_SETTINGS_ADMIN_H
#define IMCTL_HOST_CORE_SETTINGS_ADMIN_H

#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "core/host_config.h"
#include "core/pending_change.h"
#include "core/plan.h"
#include "core/settings_history.h"
#include "imctl/status.h"

namespace imctl::host {

class Host;
class Instance;

// What the settings ask for and what is in force of one setting, where that differs, or what became
// of it. Texts are masked where they are secret.
struct SettingChange {
  std::string key;
  std::string before;  // in force; empty if its module does not run
  std::string after;   // asked for
  // "applied"; "waiting", for `how`; "overridden", by `how`; "unchanged"
  std::string state;
  std::string how;
  std::string source;
};

// One setting as it is in force.
struct SettingRow {
  SettingValue value;
  std::optional<SettingChange> waiting;  // what the settings ask for instead
};

struct SettingsView {
  std::vector<SettingRow> rows;
  std::string problem;  // why it cannot be told what waits: the file is no good
};

// All functions may take long and be called from any thread.
class SettingsAdmin {
 public:
  using Changes = std::vector<SettingChange>;

  explicit SettingsAdmin(Host* host) : host_(host) {}

  // The modules run as `plan` says.
  void started(const Plan& plan);

  // Whose keys begin with `prefix`.
  SettingsView list(const std::string& prefix) const;
  // NOT_FOUND, with what is near, if there is none.
  Result<SettingRow> get(const std::string& key) const;

  // As it is in force; nothing if there is none, or its module does not run.
  std::optional<SettingValue> find(const std::string& key) const;

  // Those in force whose texts do not show all of them.
  std::vector<SettingValue> hidden() const;

  // A change is checked, also by the modules themselves, before anything changes, and it is carried
  // out and kept as a whole or not at all. Gives all that then is not as it was in force before.
  Result<Changes> set(const std::string& key, const std::vector<std::string>& values,
                      const Author& author);
  Result<Changes> unset(const std::string& key, const Author& author);
  // What the file says now.
  Result<Changes> reload(const Author& author);
  // A content of the history.
  Result<Changes> rollback(uint64_t number, const Author& author);
  // The same as set() with dry run, of a whole content.
  Result<Changes> validate(const std::string& content) const;
  // What would differ from what is in force. `content`: nothing for the file.
  Result<Changes> diff(const std::optional<std::string>& content) const;

  // reload(), telling the log how it went.
  void reload_at_signal();

 private:
  struct Delta;
  // Settings in force, by section, and the running modules.
  struct InForce {
    std::map<std::string, SectionValues> values;
    std::map<std::string, std::shared_ptr<Instance>> modules;
  };

  InForce in_force() const;
  Delta compare(const Plan& plan) const;
  Status check(const Delta& delta) const;
  Status apply(const Plan& plan, Delta* delta);
  Status undo(const Delta& delta);
  // Of which `key` is the one that was asked for; may be empty.
  Result<Changes> carry_out(const PendingChange& pending, const std::string& key,
                            const Author& author, const std::string& what);
  // Errors if there is no such setting, or a module that may have it.
  Status check_known(const std::string& key) const;

  Host* const host_;
  mutable std::mutex mutex_;
  std::map<std::string, SectionValues> own_;  // of host, bind and nodes, in force
};

}  // namespace imctl::host

#endif  // IMCTL_HOST_CORE_SETTINGS_ADMIN_H
