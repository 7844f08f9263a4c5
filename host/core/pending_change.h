// The one way by which verbs change the config file: what it would hold is worked out and checked,
// whoever asks carries it out, then it is kept, or all goes back.
#ifndef IMCTL_HOST_CORE_PENDING_CHANGE_H
#define IMCTL_HOST_CORE_PENDING_CHANGE_H

#include <functional>
#include <string>

#include "core/plan.h"
#include "core/settings_edit.h"
#include "imctl/status.h"

namespace imctl::host {

class Host;

// On whose word something is changed.
struct Author {
  std::string who;
  bool dry_run = false;  // check all, change nothing
  std::string why{};     // in their words; empty: they gave none
  std::string call_id{};
};

using SettingsEditor = std::function<Status(SettingsEdit&)>;

// Who has one holds Host::take_turn().
struct PendingChange {
  std::string base;     // what the file holds
  std::string content;  // what it is to hold
  Plan plan;            // what that asks for

  // Errors say which setting, which line and what to do. `ask_others`: as for Host::plan().
  static Result<PendingChange> make(Host& host, const SettingsEditor& edit, bool ask_others);
  static Result<PendingChange> make(Host& host, std::string base, std::string content,
                                    bool ask_others);

  // Puts the content in the file, now that it was carried out. `what`: in words, for the history.
  // Where that fails has `undo` carry out the opposite; the error says so.
  Status keep(Host& host, const Author& author, const std::string& what,
              const std::function<Status()>& undo) const;
};

}  // namespace imctl::host

#endif  // IMCTL_HOST_CORE_PENDING_CHANGE_H
