#include "core/pending_change.h"

#include <chrono>
#include <cstdint>
#include <filesystem>
#include <string>
#include <utility>

#include "core/host.h"

namespace imctl::host {
namespace {

// A file that is gone is no file without settings: somebody is writing it anew, or took it away.
Status check_there(Host& host) {
  const std::string& file = host.settings().file();
  std::error_code error;
  if (std::filesystem::exists(file, error) || error) return {};
  if (host.options().config_file.empty() && host.settings().history().empty()) return {};
  return {IMCTL_FAILED_PRECONDITION,
          "the config file " + file +
              " is gone, and what it said stays in force: put it back, or "
              "write one of `imctl config history` anew with `imctl config rollback N`"};
}

}  // namespace

Result<PendingChange> PendingChange::make(Host& host, const SettingsEditor& edit, bool ask_others) {
  Status there = check_there(host);
  if (!there.ok()) return there;
  Result<std::string> base = host.settings().read();
  if (!base.ok()) return base.status();
  Result<SettingsEdit> edited = SettingsEdit::open(*base, host.settings().file());
  if (!edited.ok()) return edited.status();
  Status status = edit(*edited);
  if (!status.ok()) return status;
  return make(host, std::move(*base), edited->content(), ask_others);
}

Result<PendingChange> PendingChange::make(Host& host, std::string base, std::string content,
                                          bool ask_others) {
  Result<Plan> plan = host.plan({&content, {}, ask_others});
  if (!plan.ok()) return plan.status();
  return PendingChange{std::move(base), std::move(content), std::move(*plan)};
}

Status PendingChange::keep(Host& host, const Author& author, const std::string& what,
                           const std::function<Status()>& undo) const {
  std::string why = author.why.empty() ? what : what + ": " + author.why;
  Result<uint64_t> number =
      host.settings().commit(base, content, author.who, why, std::chrono::system_clock::now());
  if (number.ok()) return {};
  const Status& status = number.status();
  // It is in the file, but the disk does not promise to keep it.
  if (status.code() == IMCTL_DATA_LOSS) return status;
  Status back = undo();
  std::string told =
      back.ok() ? what + " was undone, since it could not be kept: "
                : what + " is done, but could not be kept, nor undone (" + back.message() + "): ";
  return {status.code(), told + status.message()};
}

}  // namespace imctl::host
