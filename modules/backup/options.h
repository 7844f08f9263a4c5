// The settings, as the parts of the module use them.
#ifndef IMCTL_BACKUP_OPTIONS_H
#define IMCTL_BACKUP_OPTIONS_H

#include <chrono>
#include <string>
#include <vector>

#include "imctl/backup/v1/config.pb.h"
#include "imctl/sdk.h"
#include "keep.h"
#include "schedule.h"

namespace imctl::backup {

struct Options {
  std::string folder;   // of backups; there even if `command` is what they go to
  std::string command;  // empty: they go to the folder
  std::vector<ScheduleTime> schedule;
  std::vector<KeepRule> keep;
  uint32_t incrementals = 0;
  std::string public_key;  // raw; empty: not encrypted
  int level = 1;
  uint64_t max_rate = 0;
  bool yield = true;
  std::chrono::seconds grace{0};
  std::string data_dir;
  std::string domain;

  static Result<Options> read(const Settings& settings);
};

}  // namespace imctl::backup

#endif  // IMCTL_BACKUP_OPTIONS_H
