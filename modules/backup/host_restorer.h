// Puts back what a backup has of the host beside what is stored there: its settings. Of modules it
// says which are missing; whoever installs them is another.
#ifndef IMCTL_BACKUP_HOST_RESTORER_H
#define IMCTL_BACKUP_HOST_RESTORER_H

#include "chain.h"
#include "core.h"
#include "imctl/backup/v1/backups.pb.h"
#include "selection.h"

namespace imctl::backup {

// Through the host's own verb, on behalf of `caller`, one after the other: each setting of the
// selection that stood in the config file. With the caller's dry run it only says what would be.
// `chain` was checked.
Task<Status> restore_host(Core* core, Chain* chain, const Selection& selection,
                          const Context& caller, v1::RestoreBackupResponse* response);

}  // namespace imctl::backup

#endif  // IMCTL_BACKUP_HOST_RESTORER_H
