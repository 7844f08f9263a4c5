#include "data_service.h"

#include "exporter.h"
#include "importer.h"
#include "migrator.h"

namespace imctl::backup {

DataService::DataService(Core* core, Module* module) : core_(core) {
  module->serve("/imctl.backup.v1.Data/Export", this, &DataService::export_data);
  module->serve("/imctl.backup.v1.Data/Import", this, &DataService::import_data);
  module->serve("/imctl.backup.v1.Data/Migrate", this, &DataService::migrate);
}

Task<Status> DataService::export_data(const v1::ExportDataRequest& request,
                                      imctl::Writer<v1::ExportDataResponse>& writer) {
  return backup::export_data(core_, request, writer);
}

Task<Status> DataService::import_data(
    Stream<v1::ImportDataRequest, v1::ImportDataResponse>& stream) {
  return backup::import_data(core_, stream);
}

Task<Status> DataService::migrate(const v1::MigrateDataRequest& request,
                                  imctl::Writer<v1::MigrateDataResponse>& writer) {
  return backup::migrate(core_, request, writer);
}

}  // namespace imctl::backup
