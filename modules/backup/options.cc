#include "options.h"

#include <utility>

#include "seal.h"

namespace imctl::backup {

Result<Options> Options::read(const Settings& settings) {
  const auto config = settings.as<v1::Config>();
  Options options;
  options.data_dir = settings.data_dir();
  options.domain = settings.domain();
  options.folder = options.data_dir + "/backups";
  if (config.target().starts_with('|')) {
    options.command = config.target().substr(1);
  } else if (!config.target().empty()) {
    options.folder = config.target();
  }
  for (const std::string& text : config.schedule()) {
    Result<ScheduleTime> time = ScheduleTime::parse(text);
    if (!time.ok()) return time.status();
    options.schedule.push_back(std::move(*time));
  }
  Result<std::vector<KeepRule>> keep = parse_keep({config.keep().begin(), config.keep().end()});
  if (!keep.ok()) return keep.status();
  options.keep = std::move(*keep);
  options.incrementals = config.incrementals();
  options.public_key = from_hex(config.public_key()).value_or("");
  options.level = static_cast<int>(config.level());
  options.max_rate = config.max_rate();
  options.yield = config.yield();
  options.grace = std::chrono::seconds(config.grace().seconds());
  return options;
}

}  // namespace imctl::backup
