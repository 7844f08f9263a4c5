// imctl.backup.v1.Data.
#ifndef IMCTL_BACKUP_DATA_SERVICE_H
#define IMCTL_BACKUP_DATA_SERVICE_H

#include "core.h"
#include "imctl/backup/v1/data.pb.h"

namespace imctl::backup {

class DataService {
 public:
  DataService(Core* core, Module* module);

 private:
  Task<Status> export_data(const v1::ExportDataRequest& request,
                           imctl::Writer<v1::ExportDataResponse>& writer);
  Task<Status> import_data(Stream<v1::ImportDataRequest, v1::ImportDataResponse>& stream);
  Task<Status> migrate(const v1::MigrateDataRequest& request,
                       imctl::Writer<v1::MigrateDataResponse>& writer);

  Core* const core_;
};

}  // namespace imctl::backup

#endif  // IMCTL_BACKUP_DATA_SERVICE_H
