#include "core/settings_admin.h"

#include <algorithm>
#include <set>
#include <utility>

#include "core/host.h"
#include "core/settings_text.h"

namespace imctl::host {
namespace {

constexpr const char* kApplied = "applied";
constexpr const char* kWaiting = "waiting";
constexpr const char* kRestart = "restart";

const SettingValue* find_in(const SectionValues& values, const std::string& key) {
  auto at = std::find_if(values.begin(), values.end(),
                         [&](const SettingValue& value) { return value.key == key; });
  return at == values.end() ? nullptr : &*at;
}

std::string section_of(const std::string& key) { return key.substr(0, key.find('.')); }
std::string name_in_section(const std::string& key) {
  size_t dot = key.find('.');
  return dot == std::string::npos ? std::string() : key.substr(dot + 1);
}

// What to do for a setting of a module to be in force.
std::string remedy(const std::string& module, const std::string& name, bool runs, bool wanted) {
  if (runs && !wanted) return "imctl module disable " + module;
  if (!runs || name == "enabled") return "imctl module enable " + module;
  return "imctl module reload " + module;
}

// Two secrets look the same, and yet one took the other's place.
std::string shown(const SettingValue& value, const SettingValue* other) {
  bool alike = other != nullptr && value.text == other->text && value.value != other->value;
  return alike ? value.text + " (another)" : value.text;
}

std::string join(const std::vector<const SettingChange*>& changes) {
  std::vector<std::string> keys;
  for (const SettingChange* change : changes) keys.push_back(change->key);
  return host::join(keys, ", ");
}

}  // namespace

// What the settings ask for and is not in force.
struct SettingsAdmin::Delta {
  Changes changes;
  // Modules whose settings are to be tried before.
  std::vector<std::shared_ptr<const Description>> tried;
  // Modules all of whose changes are of live settings.
  std::vector<std::pair<std::shared_ptr<Instance>, std::shared_ptr<const Description>>> live;

  // What was done, for undoing.
  std::vector<std::pair<std::shared_ptr<Instance>, std::shared_ptr<const Description>>> done;
  std::optional<LiveConfig> host_before;

  std::vector<const SettingChange*> of(const std::string& section) const {
    std::vector<const SettingChange*> found;
    for (const SettingChange& change : changes) {
      if (section_of(change.key) == section) found.push_back(&change);
    }
    return found;
  }
};

void SettingsAdmin::started(const Plan& plan) {
  std::lock_guard lock(mutex_);
  for (const auto& [section, values] : plan.values) {
    if (is_own_section(section)) own_[section] = values;
  }
}

SettingsAdmin::InForce SettingsAdmin::in_force() const {
  InForce now;
  {
    std::lock_guard lock(mutex_);
    now.values = own_;
  }
  for (auto view = host_->modules().view();
       const std::shared_ptr<Instance>& instance : view->modules) {
    const Description& description = instance->description();
    if (description.is_builtin() || !description.remote.empty()) continue;
    now.values[instance->name()] = instance->settings()->values;
    now.modules[instance->name()] = instance;
  }
  return now;
}

SettingsAdmin::Delta SettingsAdmin::compare(const Plan& plan) const {
  InForce now = in_force();
  Delta delta;
  std::set<std::string> sections;
  for (const auto& [section, values] : now.values) sections.insert(section);
  for (const auto& [section, values] : plan.values) sections.insert(section);
  static const SectionValues kNone;
  auto values_of = [](const std::map<std::string, SectionValues>& all,
                      const std::string& name) -> const SectionValues& {
    auto at = all.find(name);
    return at == all.end() ? kNone : at->second;
  };
  for (const std::string& section : sections) {
    bool own = now.modules.count(section) == 0 && is_own_section(section);
    auto running = now.modules.find(section);
    bool runs = running != now.modules.end();
    std::shared_ptr<const Description> wanted = own ? nullptr : plan.find(section);
    const SectionValues& before = values_of(now.values, section);
    const SectionValues& after = values_of(plan.values, section);
    if (!own && runs != (wanted != nullptr)) {
      const SettingValue* said = find_in(runs ? before : after, section + ".enabled");
      std::string key = said == nullptr || said->source == "default" ? "host.modules" : said->key;
      delta.changes.push_back({section + ".enabled", runs ? "yes" : "no", runs ? "no" : "yes",
                               kWaiting, remedy(section, "enabled", runs, !runs),
                               key == "host.modules" ? key : said->source});
      if (wanted != nullptr) delta.tried.push_back(wanted);
      continue;
    }
    size_t first = delta.changes.size();
    bool all_live = true;
    for (const SettingValue& value : after) {
      const SettingValue* old = find_in(before, value.key);
      if (old != nullptr && old->value == value.value) continue;
      bool live = value.live && (runs || own);
      all_live = all_live && live;
      delta.changes.push_back(
          {value.key, old == nullptr ? std::string() : old->text, shown(value, old),
           live ? kApplied : kWaiting,
           live  ? ""
           : own ? kRestart
                 : remedy(section, name_in_section(value.key), runs, wanted != nullptr),
           value.source});
    }
    for (const SettingValue& value : before) {  // free ones only can go
      if (find_in(after, value.key) != nullptr) continue;
      all_live = all_live && value.live;
      delta.changes.push_back({value.key, value.text, "", value.live ? kApplied : kWaiting,
                               value.live ? "" : kRestart, "removed"});
    }
    if (own || delta.changes.size() == first) continue;
    delta.tried.push_back(wanted);
    if (all_live) {
      delta.live.emplace_back(running->second, wanted);
      continue;
    }
    // A module takes all its settings at once.
    for (size_t i = first; i < delta.changes.size(); ++i) {
      if (delta.changes[i].state != kApplied) continue;
      delta.changes[i].state = kWaiting;
      delta.changes[i].how = remedy(section, "", true, true);
    }
  }
  return delta;
}

Status SettingsAdmin::check(const Delta& delta) const {
  for (const auto& description : delta.tried) {
    Status status = host_->modules().probe(description);
    if (status.ok()) continue;
    std::vector<std::string> origins;
    for (const SettingChange* change : delta.of(description->name())) {
      origins.push_back(change->source + ": " + change->key);
    }
    return {status.code(), host::join(origins, ", ") + ": refused by the module itself: " +
                               status.message() + "; nothing was changed"};
  }
  return {};
}

Status SettingsAdmin::apply(const Plan& plan, Delta* delta) {
  bool own = std::any_of(delta->changes.begin(), delta->changes.end(), [](const auto& change) {
    return is_own_section(section_of(change.key)) && change.state == kApplied;
  });
  if (own) {
    LiveConfig before = host_->live();
    Status status = host_->apply(plan.config.live);
    if (!status.ok()) return status;
    delta->host_before = before;
  }
  for (const auto& [instance, description] : delta->live) {
    std::shared_ptr<const Description> before = instance->settings();
    Status status = host_->modules().apply_settings(*instance, description);
    if (status.code() == IMCTL_UNIMPLEMENTED) {
      // Its .proto promises what its code does not keep.
      for (SettingChange& change : delta->changes) {
        if (section_of(change.key) != instance->name()) continue;
        change.state = kWaiting;
        change.how = remedy(instance->name(), "", true, true);
      }
      continue;
    }
    if (!status.ok()) {
      return {status.code(), join(delta->of(instance->name())) + ": " + status.message()};
    }
    delta->done.emplace_back(instance, before);
  }
  return {};
}

Status SettingsAdmin::undo(const Delta& delta) {
  Status first;
  for (size_t i = delta.done.size(); i-- > 0;) {
    Status status = host_->modules().apply_settings(*delta.done[i].first, delta.done[i].second);
    if (first.ok() && !status.ok()) first = status;
  }
  if (delta.host_before) {
    Status status = host_->apply(*delta.host_before);
    if (first.ok() && !status.ok()) first = status;
  }
  if (!first.ok()) host_->log().error("settings could not be put back: " + first.message());
  return first;
}

Result<SettingsAdmin::Changes> SettingsAdmin::carry_out(const PendingChange& pending,
                                                        const std::string& key,
                                                        const Author& author,
                                                        const std::string& what) {
  const Plan& plan = pending.plan;
  Delta delta = compare(plan);
  Status status = check(delta);
  if (!status.ok()) return status;
  if (!author.dry_run) {
    status = apply(plan, &delta);
    if (!status.ok()) {
      Status back = undo(delta);
      return Status(status.code(),
                    status.message() + (back.ok() ? "; nothing was changed"
                                                  : "; and going back failed: " + back.message()));
    }
    status = pending.keep(*host_, author, what, [&] { return undo(delta); });
    if (!status.ok() && status.code() != IMCTL_DATA_LOSS) return status;
    std::lock_guard lock(mutex_);
    for (auto& [section, own] : own_) {
      auto planned = plan.values.find(section);
      const bool live = section == "roles" || section == "certificates";
      if (live) own = planned == plan.values.end() ? SectionValues() : planned->second;
      for (SettingValue& value : own) {
        const SettingValue* now =
            planned == plan.values.end() ? nullptr : find_in(planned->second, value.key);
        if (value.live && now != nullptr) value = *now;
      }
    }
  }
  if (!status.ok()) return status;
  if (!author.dry_run) host_->log().info(what, author.call_id, author.who);

  const std::string section = section_of(key);
  bool told =
      key.empty() || std::any_of(delta.changes.begin(), delta.changes.end(),
                                 [&](const SettingChange& change) { return change.key == key; });
  if (!told) {
    SettingChange change{key, "", "", "unchanged", "", ""};
    auto values = plan.values.find(section);
    if (values != plan.values.end()) {
      if (const SettingValue* value = find_in(values->second, key)) {
        change.before = change.after = value->text;
        change.source = value->source;
      }
      if (auto by = plan.sources->overridden_by(section, name_in_section(key))) {
        change.state = "overridden";
        change.how = *by;
      }
    } else {
      change.state = kWaiting;
      change.how = "imctl module enable " + section;
    }
    delta.changes.push_back(std::move(change));
  }
  return std::move(delta.changes);
}

Status SettingsAdmin::check_known(const std::string& key) const {
  size_t dot = key.find('.');
  if (dot == std::string::npos || dot == 0 || dot + 1 == key.size()) {
    return {IMCTL_INVALID_ARGUMENT,
            "key: '" + key + "' is not of the form SECTION.KEY, like host.log_level"};
  }
  InForce now = in_force();
  auto values = now.values.find(section_of(key));
  std::vector<std::string> names;
  if (values == now.values.end()) {
    for (auto view = host_->modules().view(); const OffModule& off : view->off) {
      if (off.name == section_of(key)) return {};
      names.push_back(off.name);
    }
    for (const auto& [section, rest] : now.values) names.push_back(section);
    std::string near = nearest(section_of(key), names);
    return {IMCTL_NOT_FOUND, "there is no section " + section_of(key) +
                                 (near.empty() ? "; `imctl config list` shows what there is"
                                               : "; did you mean " + near + "?")};
  }
  if (find_in(values->second, key) != nullptr) return {};
  bool may_be_free = has_free_keys(values->first) ||
                     (values->first == "bind" && key.find('.', dot + 1) != std::string::npos);
  if (may_be_free) return {};
  for (const SettingValue& value : values->second) names.push_back(value.key);
  std::string near = nearest(key, names);
  return {IMCTL_NOT_FOUND,
          "there is no setting " + key +
              (near.empty() ? "; `imctl config list " + section_of(key) + "` shows what there is"
                            : "; did you mean " + near + "?")};
}

SettingsView SettingsAdmin::list(const std::string& prefix) const {
  SettingsView view;
  Result<Plan> plan = host_->plan({nullptr, {}, false});
  Changes changes;
  if (plan.ok()) {
    changes = compare(*plan).changes;
  } else {
    view.problem = plan.status().message();
  }
  for (const auto& [section, values] : in_force().values) {
    for (const SettingValue& value : values) {
      if (value.key.compare(0, prefix.size(), prefix) != 0) continue;
      SettingRow row{value, std::nullopt};
      for (SettingChange& change : changes) {
        if (change.key != value.key) continue;
        // Also what would be live: it is in the file, and nobody had it read.
        if (change.state == kApplied) change.how = "imctl config reload";
        change.state = kWaiting;
        row.waiting = change;
      }
      view.rows.push_back(std::move(row));
    }
  }
  return view;
}

Result<SettingRow> SettingsAdmin::get(const std::string& key) const {
  Status status = check_known(key);
  if (!status.ok()) return status;
  for (SettingRow& row : list(key).rows) {
    if (row.value.key == key) return std::move(row);
  }
  return Status(IMCTL_NOT_FOUND,
                key + " is not set, or its module does not run (`imctl module list`)");
}

std::optional<SettingValue> SettingsAdmin::find(const std::string& key) const {
  InForce now = in_force();
  auto values = now.values.find(section_of(key));
  if (values == now.values.end()) return std::nullopt;
  const SettingValue* value = find_in(values->second, key);
  return value == nullptr ? std::nullopt : std::optional(*value);
}

std::vector<SettingValue> SettingsAdmin::hidden() const {
  std::vector<SettingValue> found;
  for (const auto& [section, values] : in_force().values) {
    for (const SettingValue& value : values) {
      if (!value.hidden.empty()) found.push_back(value);
    }
  }
  return found;
}

Result<SettingsAdmin::Changes> SettingsAdmin::set(const std::string& key,
                                                  const std::vector<std::string>& values,
                                                  const Author& author) {
  auto turn = host_->take_turn();
  Status status = check_known(key);
  if (!status.ok()) return status;
  std::optional<SettingValue> now = find(key);
  if (now && !now->list && values.size() != 1) {
    return Status(IMCTL_INVALID_ARGUMENT,
                  key + " takes one value; one with blanks in it goes in quotes");
  }
  Result<PendingChange> pending = PendingChange::make(
      *host_,
      [&](SettingsEdit& edit) {
        return edit.set(section_of(key), name_in_section(key), host::join(values, ", "));
      },
      false);
  if (!pending.ok()) return pending.status();
  // What nobody can check now would be in the way of everything else later.
  const std::string section = section_of(key);
  if (host_->find_module(section) != nullptr && pending->plan.values.count(section) == 0) {
    return Status(IMCTL_FAILED_PRECONDITION,
                  "module " + section +
                      " runs, and the settings have it off from the next start on: "
                      "`imctl module enable " +
                      section + "` first, or `imctl module disable " + section + "`");
  }
  return carry_out(*pending, key, author, "config set " + key);
}

Result<SettingsAdmin::Changes> SettingsAdmin::unset(const std::string& key, const Author& author) {
  auto turn = host_->take_turn();
  Status status = check_known(key);
  if (!status.ok()) return status;
  Result<PendingChange> pending = PendingChange::make(
      *host_,
      [&](SettingsEdit& edit) {
        (void)edit.unset(section_of(key), name_in_section(key));
        return Status();
      },
      false);
  if (!pending.ok()) return pending.status();
  return carry_out(*pending, key, author, "config unset " + key);
}

Result<SettingsAdmin::Changes> SettingsAdmin::reload(const Author& author) {
  auto turn = host_->take_turn();
  Result<PendingChange> pending = PendingChange::make(
      *host_, [](SettingsEdit&) { return Status(); }, false);
  if (!pending.ok()) return pending.status();
  return carry_out(*pending, "", author, "config reload");
}

Result<SettingsAdmin::Changes> SettingsAdmin::rollback(uint64_t number, const Author& author) {
  auto turn = host_->take_turn();
  Result<std::string> content = host_->settings().content(number);
  if (!content.ok()) return content.status();
  Result<std::string> base = host_->settings().read();
  if (!base.ok()) return base.status();
  Result<PendingChange> pending =
      PendingChange::make(*host_, std::move(*base), std::move(*content), false);
  if (!pending.ok()) return pending.status();
  return carry_out(*pending, "", author, "config rollback " + std::to_string(number));
}

Result<SettingsAdmin::Changes> SettingsAdmin::validate(const std::string& content) const {
  auto turn = host_->take_turn();
  Result<Plan> plan = host_->plan({&content, "FILE", false});
  if (!plan.ok()) return plan.status();
  Delta delta = compare(*plan);
  Status status = check(delta);
  if (!status.ok()) return status;
  return std::move(delta.changes);
}

Result<SettingsAdmin::Changes> SettingsAdmin::diff(
    const std::optional<std::string>& content) const {
  Result<Plan> plan = host_->plan({content ? &*content : nullptr, content ? "FILE" : "", false});
  if (!plan.ok()) return plan.status();
  return compare(*plan).changes;
}

void SettingsAdmin::reload_at_signal() {
  Result<Changes> changes = reload({"SIGHUP"});
  if (!changes.ok()) {
    host_->log().error("the settings stay as they were: " + changes.status().message());
    return;
  }
  for (const SettingChange& change : *changes) {
    host_->log().info(change.key + " = " + change.after + ": " + change.state +
                      (change.how.empty() ? "" : ", " + change.how));
  }
  if (changes->empty()) host_->log().info("the settings are as they were");
}

}  // namespace imctl::host
