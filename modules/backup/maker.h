// Makes a backup: a dump of the storage, the settings and the list of modules, into a file.
#ifndef IMCTL_BACKUP_MAKER_H
#define IMCTL_BACKUP_MAKER_H

#include <functional>
#include <string>

#include "core.h"
#include "imctl/backup/v1/backups.pb.h"
#include "output.h"

namespace imctl::backup {

struct MakeRequest {
  std::string to;     // as in CreateBackupRequest
  std::string since;  // whole id or what stands for one; empty: a whole backup
  std::string reason;
  bool replacing = false;  // of what is about to be replaced
};

// Who wants to know how far it is, and may end it. Both may be absent.
struct MakeCaller {
  imctl::Writer<v1::CreateBackupResponse>* writer = nullptr;  // for the file, if `to` is -
  std::function<Task<Status>(uint64_t bytes)> progress;
};

Task<Result<v1::CreateBackupResponse>> make_backup(Core* core, MakeRequest request,
                                                   MakeCaller caller);

}  // namespace imctl::backup

#endif  // IMCTL_BACKUP_MAKER_H
