// The module storage-sqlite: the storage services on an SQLite database.
#include <memory>

#include "config.h"
#include "replaceable.h"
#include "storage_module.h"

namespace imctl::storage {
namespace {

class SqliteStorage final : public StorageModule {
 public:
  using StorageModule::StorageModule;

  Status prepare(const Settings& settings) override {
    auto config = settings.as<sqlite::v1::Config>();
    Result<Options> options = read_config(config, settings.data_dir());
    if (!options.ok()) return options.status();
    options_ = *options;
    Result<CommonSettings> common = common_settings(config);
    if (!common.ok()) return common.status();
    configure(*common);
    if (!config.username().empty() || !config.password().empty()) {
      host().info(
          "username and password are not used: SQLite has no accounts; the rights on the "
          "file decide");
    }
    return {};
  }

  Status apply(const Settings& settings) override {
    Result<CommonSettings> common = common_settings(settings.as<sqlite::v1::Config>());
    if (!common.ok()) return common.status();
    change(*common);
    return {};
  }

 private:
  Result<std::unique_ptr<Engine>> open(Watchers* /*watchers*/) override {
    auto engine = ReplaceableEngine::open(options_, StorageModule::settings().retention);
    if (engine.ok()) host().info("all is stored in " + options_.path);
    return engine;
  }

  Options options_;
};

}  // namespace
}  // namespace imctl::storage

IMCTL_MODULE(imctl::storage::SqliteStorage)
