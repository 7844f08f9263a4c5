// Which backups are kept: `7d, 4w, 12m`.
#ifndef IMCTL_BACKUP_KEEP_H
#define IMCTL_BACKUP_KEEP_H

#include <cstdint>
#include <string>
#include <vector>

#include "imctl/status.h"
#include "schedule.h"

namespace imctl::backup {

struct KeepRule {
  int count = 0;
  char unit = 'd';  // h d w m y
};

Result<std::vector<KeepRule>> parse_keep(const std::vector<std::string>& texts);

struct Kept {
  std::string id;
  std::string parent;
  WallTime created;
};

// Of each rule: of the last `count` hours, days, weeks, months or years in which there are backups,
// the newest of each, by the clock of this machine. With them go those that they stand on, and the
// newest of all. Of the same second, a later one in the list is newer. Without rules: all. Gives
// the ids of the others, in the order given.
std::vector<std::string> not_kept(const std::vector<Kept>& backups,
                                  const std::vector<KeepRule>& rules);

}  // namespace imctl::backup

#endif  // IMCTL_BACKUP_KEEP_H
