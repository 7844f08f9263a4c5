// The module storage-postgresql: all storage services on a PostgreSQL database.
#include <memory>
#include <utility>

#include "imctl/storage/postgresql/v1/config.pb.h"
#include "options.h"
#include "postgresql_engine.h"
#include "storage_module.h"

namespace imctl::storage {
namespace {

class PostgresStorage : public StorageModule {
 public:
  using StorageModule::StorageModule;

  Status prepare(const Settings& settings) override {
    auto config = settings.as<postgresql::v1::Config>();
    Result<CommonSettings> common = common_settings(config);
    if (!common.ok()) return common.status();
    Result<Options> options = read_options(config);
    if (!options.ok()) return options.status();
    configure(*common);
    options_ = std::move(*options);
    return {};
  }

  Status apply(const Settings& settings) override {
    Result<CommonSettings> common = common_settings(settings.as<postgresql::v1::Config>());
    if (!common.ok()) return common.status();
    change(*common);
    return {};
  }

 private:
  Result<std::unique_ptr<Engine>> open(Watchers* watchers) override {
    auto engine = PostgresEngine::open(
        options_, this->settings().retention, watchers,
        [this](const std::string& text) { host().warn(text); },
        [this](const std::string& text) { host().info(text); });
    if (!engine.ok()) return engine.status();
    host().info("everything is in " + options_.target.name);
    return std::unique_ptr<Engine>(std::move(*engine));
  }

  Options options_;
};

}  // namespace
}  // namespace imctl::storage

IMCTL_MODULE(imctl::storage::PostgresStorage)
