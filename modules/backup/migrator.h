// Moves all that is stored to another storage, in one stream. At every moment at most one of the
// two can be written to, so nothing that was acknowledged stays behind.
#ifndef IMCTL_BACKUP_MIGRATOR_H
#define IMCTL_BACKUP_MIGRATOR_H

#include "core.h"
#include "imctl/backup/v1/data.pb.h"

namespace imctl::backup {

Task<Status> migrate(Core* core, const v1::MigrateDataRequest& request,
                     imctl::Writer<v1::MigrateDataResponse>& writer);

}  // namespace imctl::backup

#endif  // IMCTL_BACKUP_MIGRATOR_H
