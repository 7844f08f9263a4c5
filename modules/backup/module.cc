#include <sodium.h>

#include <utility>

#include "backups_service.h"
#include "core.h"
#include "data_service.h"
#include "disk.h"
#include "scheduler.h"

namespace imctl::backup {
namespace {

class BackupModule : public Module {
 public:
  explicit BackupModule(const Host& host)
      : Module(host),
        core_(host),
        scheduler_(&core_),
        backups_(&core_, &scheduler_, this),
        data_(&core_, this) {}

  ~BackupModule() override { scheduler_.stop(); }

  Status prepare(const Settings& settings) override {
    if (sodium_init() < 0) return {IMCTL_INTERNAL, "libsodium does not start"};
    return set_options(settings);
  }

  Status apply(const Settings& settings) override {
    Status status = set_options(settings);
    scheduler_.wake();
    return status;
  }

  Status activate() override {
    // Of a process that was killed. What other processes write there is left alone.
    remove_unfinished(core_.options()->folder);
    remove_unfinished(core_.options()->data_dir);
    remove_unfinished(core_.known_folder());
    scheduler_.start();
    return {};
  }

  Status quiesce() override {
    scheduler_.stop();
    return {};
  }

  Status deactivate() override {
    scheduler_.wait();
    return {};
  }

  void report(State& state) override {
    const std::string problem = scheduler_.problem();
    if (!problem.empty()) state.add("problem", problem);
    const v1::ScheduleResponse schedule = scheduler_.describe();
    for (const v1::ScheduleEntry& entry : schedule.entries()) {
      state.add("schedule " + entry.when(), entry.state());
    }
  }

 private:
  Status set_options(const Settings& settings) {
    Result<Options> options = Options::read(settings);
    if (!options.ok()) return options.status();
    core_.set_options(std::move(*options));
    return {};
  }

  Core core_;
  Scheduler scheduler_;
  BackupsService backups_;
  DataService data_;
};

}  // namespace
}  // namespace imctl::backup

using imctl::backup::BackupModule;
IMCTL_MODULE(BackupModule)
