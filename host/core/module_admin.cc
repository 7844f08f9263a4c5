#include "core/module_admin.h"

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <optional>
#include <utility>

#include "core/host.h"
#include "core/sha256.h"

namespace imctl::host {
namespace {

namespace fs = std::filesystem;

std::string join(const std::set<std::string>& names) {
  std::string text;
  for (const std::string& name : names) text.append(text.empty() ? "" : ", ").append(name);
  return text;
}

// Of the content, for a file name that no other content has.
std::string short_digest(std::string_view content) { return sha256_hex(content).substr(0, 16); }

Status write_file(const std::string& path, std::string_view content) {
  std::ofstream file(path, std::ios::binary | std::ios::trunc);
  file.write(content.data(), static_cast<std::streamsize>(content.size()));
  file.close();
  if (file) return {};
  return {IMCTL_RESOURCE_EXHAUSTED,
          path + ": cannot be written: is there room, and may this user?"};
}

// The value of `file` in a module's section; nothing: the default.
std::optional<std::string> file_setting(const std::string& content, const std::string& module) {
  Result<SettingsFile> parsed = parse_settings(content, "");
  if (!parsed.ok()) return std::nullopt;
  for (const SettingsFile::Entry& entry : parsed->entries) {
    if (entry.section == module && entry.key == "file") return entry.text;
  }
  return std::nullopt;
}

}  // namespace

Status ModuleAdmin::check_known(const std::string& name) const {
  std::shared_ptr<const Modules::View> view = host_->modules().view();
  std::set<std::string> known;
  for (const auto& instance : view->modules) known.insert(instance->name());
  for (const OffModule& off : view->off) known.insert(off.name);
  if (name == "host" || is_remote_address(name)) {
    return {IMCTL_INVALID_ARGUMENT, name + " is no module that can be changed"};
  }
  if (known.count(name) != 0) return {};
  known.erase("host");
  return {IMCTL_NOT_FOUND, "there is no module " + name + "; there are: " + join(known)};
}

Result<ModuleAdmin::Changes> ModuleAdmin::change(const SettingsEditor& edit,
                                                 const std::set<std::string>& only,
                                                 const std::set<std::string>& again,
                                                 const Author& author, const std::string& why) {
  Result<PendingChange> pending = PendingChange::make(*host_, edit, true);
  if (!pending.ok()) return pending.status();
  const Plan& plan = pending->plan;

  std::set<std::string> before;
  for (auto view = host_->modules().view(); const auto& instance : view->modules)
    before.insert(instance->name());
  Changes changes;
  for (const std::string& name : only) {
    std::shared_ptr<const Description> wanted = plan.find(name);
    if (wanted == nullptr && before.count(name) != 0) {
      changes.push_back({name, "stopped", "", "", {}});
    } else if (wanted != nullptr && (before.count(name) == 0 || again.count(name) != 0)) {
      changes.push_back({name,
                         before.count(name) == 0 ? "started" : "replaced",
                         wanted->manifest().version(),
                         "",
                         {}});
    }
  }
  if (author.dry_run) return changes;

  Result<std::vector<SwapReport>> swaps = host_->modules().apply(plan, only, again);
  if (!swaps.ok()) return swaps.status();
  if (pending->content != pending->base) {
    Status kept = pending->keep(*host_, author, why, [&] {
      Result<Plan> back = host_->plan({&pending->base});
      return back.ok() ? host_->modules().apply(*back, only, {}).status() : back.status();
    });
    if (!kept.ok()) return kept;
  }
  host_->log().info(why, author.call_id, author.who);
  for (ModuleChange& one : changes) {
    if (std::shared_ptr<Instance> instance = host_->find_module(one.module)) {
      one.where = instance->where();
    }
    for (const SwapReport& swap : *swaps) {
      if (swap.module == one.module) one.swap = swap;
    }
  }
  return changes;
}

Result<std::set<std::string>> ModuleAdmin::with_required(
    const std::vector<std::string>& names) const {
  std::shared_ptr<const Modules::View> view = host_->modules().view();
  std::map<std::string, ModuleFile> off;
  for (const OffModule& module : view->off) {
    Result<ModuleFile> file = read_module_file(module.file);
    if (file.ok()) off.emplace(module.name, std::move(*file));
  }
  std::set<std::string> all(names.begin(), names.end());
  std::vector<std::string> open = names;
  while (!open.empty()) {
    auto module = off.find(open.back());
    open.pop_back();
    if (module == off.end()) continue;
    for (const Requirement& need : module->second.manifest.needs()) {
      if (need.optional() || view->providers.count(need.service()) != 0) continue;
      std::set<std::string> serving;
      for (const auto& [name, file] : off) {
        const auto& serves = file.manifest.serves();
        if (std::find(serves.begin(), serves.end(), need.service()) != serves.end()) {
          serving.insert(name);
        }
      }
      auto chosen = std::find_if(serving.begin(), serving.end(),
                                 [&](const std::string& name) { return all.count(name) != 0; });
      if (chosen != serving.end()) continue;
      if (serving.size() != 1) {
        return Status(
            IMCTL_FAILED_PRECONDITION,
            "module " + module->first + " requires " + need.service() + ", which " +
                (serving.empty() ? "no installed module serves"
                                 : "several serve: name one of " + join(serving) + " too"));
      }
      all.insert(*serving.begin());
      open.push_back(*serving.begin());
    }
  }
  return all;
}

Result<std::set<std::string>> ModuleAdmin::with_dependents(const std::string& name,
                                                           bool cascade) const {
  std::shared_ptr<const Modules::View> view = host_->modules().view();
  std::set<std::string> all = {name};
  for (bool grew = true; grew;) {
    grew = false;
    for (const auto& instance : view->modules) {
      for (const Requirement& need : manifest_of(*instance).needs()) {
        auto provider = view->providers.find(need.service());
        if (need.optional() || provider == view->providers.end() ||
            all.count(provider->second) == 0) {
          continue;
        }
        grew = all.insert(instance->name()).second || grew;
      }
    }
  }
  if (cascade || all.size() == 1) return all;
  all.erase(name);
  return Status(IMCTL_FAILED_PRECONDITION, "module " + name + " is required by " + join(all) +
                                               ": switch those off first, or all with --cascade");
}

Result<ModuleAdmin::Changes> ModuleAdmin::enable(const std::vector<std::string>& names,
                                                 const Author& author) {
  auto turn = host_->take_turn();
  if (names.empty()) return Status(IMCTL_INVALID_ARGUMENT, "names: which modules?");
  for (const std::string& name : names) {
    Status status = check_known(name);
    if (!status.ok()) return status;
  }
  Result<std::set<std::string>> all = with_required(names);
  if (!all.ok()) return all.status();
  return change(
      [&](SettingsEdit& edit) {
        Status status;
        for (const std::string& name : *all) {
          if (status.ok()) status = edit.set(name, "enabled", "yes");
        }
        return status;
      },
      *all, {}, author, "enable " + join(*all));
}

Result<ModuleAdmin::Changes> ModuleAdmin::disable(const std::string& name, bool cascade,
                                                  const Author& author) {
  auto turn = host_->take_turn();
  Status status = check_known(name);
  if (!status.ok()) return status;
  Result<std::set<std::string>> all = with_dependents(name, cascade);
  if (!all.ok()) return all.status();
  return change(
      [&](SettingsEdit& edit) {
        Status result;
        for (const std::string& one : *all) {
          if (result.ok()) result = edit.set(one, "enabled", "no");
        }
        return result;
      },
      *all, {}, author, "disable " + join(*all));
}

Result<ModuleAdmin::Changes> ModuleAdmin::reload(const std::string& name, const Author& author) {
  auto turn = host_->take_turn();
  if (host_->find_module(name) == nullptr || name == "host") {
    Status known = check_known(name);
    if (!known.ok()) return known;
    return Status(IMCTL_FAILED_PRECONDITION,
                  "module " + name + " does not run: `imctl module enable " + name + "`");
  }
  return change([](SettingsEdit&) { return Status(); }, {name}, {name}, author, "reload " + name);
}

Result<std::string> ModuleAdmin::keep(const std::string& name, std::string_view content,
                                      std::string_view signature) const {
  fs::path folder =
      fs::path(host_->config().data) / "host" / "modules" / name / short_digest(content);
  std::error_code error;
  fs::create_directories(folder, error);
  std::string path = (folder / (name + ".so")).string();
  // Put in place whole: the same content may be what runs now.
  std::string fresh = path + ".new";
  Status status = write_file(fresh, content);
  if (status.ok() && !signature.empty()) status = write_file(path + ".sig", signature);
  if (status.ok()) {
    fs::rename(fresh, path, error);
    if (error) status = Status(IMCTL_FAILED_PRECONDITION, path + ": " + error.message());
  }
  if (!status.ok()) return status;
  return path;
}

Result<ModuleAdmin::Changes> ModuleAdmin::upgrade(const std::string& name, std::string_view content,
                                                  std::string_view signature,
                                                  const Author& author) {
  auto turn = host_->take_turn();
  if (content.empty()) return Status(IMCTL_INVALID_ARGUMENT, "content: which file?");
  if (host_->find_module(name) != nullptr) {
    Status status = check_known(name);
    if (!status.ok()) return status;
  }
  if (name.empty() || name.find('/') != std::string::npos || name[0] == '.') {
    return Status(IMCTL_INVALID_ARGUMENT, "name: '" + name + "' is no module's name");
  }
  Result<std::string> path = keep(name, content, signature);
  if (!path.ok()) return path.status();
  return change(
      [&](SettingsEdit& edit) {
        // A module that was never here before is switched on by being given.
        Status status = edit.set(name, "file", *path);
        return status.ok() && host_->find_module(name) == nullptr ? edit.set(name, "enabled", "yes")
                                                                  : status;
      },
      {name}, {name}, author, "upgrade " + name + " to " + *path);
}

Result<ModuleAdmin::Changes> ModuleAdmin::rollback(const std::string& name, const Author& author) {
  auto turn = host_->take_turn();
  Status status = check_known(name);
  if (!status.ok()) return status;
  SettingsStore& store = host_->settings();
  Result<std::string> now = store.read();
  if (!now.ok()) return now.status();
  std::optional<std::string> current = file_setting(*now, name);
  std::vector<SettingsChange> history = store.history();
  for (size_t i = history.size(); i-- > 0;) {
    Result<std::string> then = store.content(history[i].number);
    if (!then.ok()) break;
    std::optional<std::string> file = file_setting(*then, name);
    if (file == current) continue;
    return change(
        [&](SettingsEdit& edit) {
          if (file) return edit.set(name, "file", *file);
          edit.unset(name, "file");
          return Status();
        },
        {name}, {name}, author,
        "rollback " + name + " to " + (file ? *file : "the installed file"));
  }
  return Status(IMCTL_FAILED_PRECONDITION,
                "module " + name + " had no other file in the history of the settings");
}

void ModuleAdmin::refresh_remote(const std::string& address) {
  auto turn = host_->take_turn();
  Result<Plan> plan = host_->plan({});
  Status status = plan.status();
  if (plan.ok()) status = host_->modules().apply(*plan, {address}).status();
  if (!status.ok()) {
    host_->log().warn("the host at " + address + " changed: " + status.message());
  } else {
    host_->log().info("the host at " + address + " says now what it serves");
  }
}

}  // namespace imctl::host
