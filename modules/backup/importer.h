// Takes in what other servers wrote.
#ifndef IMCTL_BACKUP_IMPORTER_H
#define IMCTL_BACKUP_IMPORTER_H

#include "core.h"
#include "imctl/backup/v1/data.pb.h"

namespace imctl::backup {

Task<Status> import_data(Core* core, Stream<v1::ImportDataRequest, v1::ImportDataResponse>& stream);

}  // namespace imctl::backup

#endif  // IMCTL_BACKUP_IMPORTER_H
