// Writes users and their messages as other servers read them.
#ifndef IMCTL_BACKUP_EXPORTER_H
#define IMCTL_BACKUP_EXPORTER_H

#include "core.h"
#include "imctl/backup/v1/data.pb.h"

namespace imctl::backup {

Task<Status> export_data(Core* core, const v1::ExportDataRequest& request,
                         imctl::Writer<v1::ExportDataResponse>& writer);

}  // namespace imctl::backup

#endif  // IMCTL_BACKUP_EXPORTER_H
