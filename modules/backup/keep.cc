#include "keep.h"

#include <algorithm>
#include <charconv>
#include <ctime>
#include <map>
#include <set>

namespace imctl::backup {
namespace {

// What is the same for all times of one day, week, ...
std::string period(WallTime time, char unit) {
  const std::time_t at = time.time_since_epoch().count();
  std::tm local{};
  ::localtime_r(&at, &local);
  const char* format = "%Y-%m-%d %H";
  switch (unit) {
    case 'd': format = "%Y-%m-%d"; break;
    case 'w': format = "%G %V"; break;
    case 'm': format = "%Y-%m"; break;
    case 'y': format = "%Y"; break;
    default: break;
  }
  char text[64];
  return {text, std::strftime(text, sizeof(text), format, &local)};
}

}  // namespace

Result<std::vector<KeepRule>> parse_keep(const std::vector<std::string>& texts) {
  std::vector<KeepRule> rules;
  for (const std::string& text : texts) {
    KeepRule rule;
    const char* const last = text.data() + (text.empty() ? 0 : text.size() - 1);
    const auto [end, error] = std::from_chars(text.data(), last, rule.count);
    if (text.empty() || error != std::errc() || end != last || rule.count < 1 ||
        std::string("hdwmy").find(text.back()) == std::string::npos) {
      return Status(IMCTL_INVALID_ARGUMENT,
                    "keep: `" + text + "` is no rule: write `7d`, `4w`, `12m`, `24h` or `3y`");
    }
    rule.unit = text.back();
    rules.push_back(rule);
  }
  return rules;
}

std::vector<std::string> not_kept(const std::vector<Kept>& backups,
                                  const std::vector<KeepRule>& rules) {
  if (rules.empty() || backups.empty()) return {};
  std::vector<const Kept*> newest_first;
  std::map<std::string, const Kept*> by_id;
  for (auto backup = backups.rbegin(); backup != backups.rend(); ++backup) {
    newest_first.push_back(&*backup);
    by_id[backup->id] = &*backup;
  }
  std::stable_sort(newest_first.begin(), newest_first.end(),
                   [](const Kept* a, const Kept* b) { return a->created > b->created; });
  std::set<std::string> kept = {newest_first.front()->id};
  for (const KeepRule& rule : rules) {
    std::set<std::string> periods;
    for (const Kept* backup : newest_first) {
      if (periods.size() == static_cast<size_t>(rule.count)) break;
      if (periods.insert(period(backup->created, rule.unit)).second) kept.insert(backup->id);
    }
  }
  for (const Kept* backup : newest_first) {
    if (!kept.contains(backup->id)) continue;
    auto next = by_id.find(backup->parent);
    while (next != by_id.end() && kept.insert(next->first).second) {
      next = by_id.find(next->second->parent);
    }
  }
  std::vector<std::string> gone;
  for (const Kept& backup : backups) {
    if (!kept.contains(backup.id)) gone.push_back(backup.id);
  }
  return gone;
}

}  // namespace imctl::backup
