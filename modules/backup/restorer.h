// Puts a backup back: first all of it is read and checked, then it goes to the storage, which
// changes as a whole or not at all.
#ifndef IMCTL_BACKUP_RESTORER_H
#define IMCTL_BACKUP_RESTORER_H

#include <functional>
#include <memory>
#include <string>

#include "chain.h"
#include "core.h"
#include "imctl/backup/v1/backups.pb.h"
#include "selection.h"

namespace imctl::backup {

struct RestoreRequest {
  Selection selection;
  bool replace = false;
  bool keep_epochs = false;
  const Context* caller = nullptr;  // on whose behalf; whether it is a dry run
  bool safety = true;               // with `replace`: a backup of what is there first
};

// Told how far it is, of a total; may end it.
using RestoreProgress = std::function<Task<Status>(uint64_t bytes, uint64_t total)>;

// Reads all of a chain; on the pool.
Task<Status> check_chain(Core* core, Chain* chain, uint64_t total, const RestoreProgress& progress);

Task<Result<v1::RestoreBackupResponse>> restore(Core* core, Chain* chain, RestoreRequest request,
                                                const RestoreProgress& progress);

}  // namespace imctl::backup

#endif  // IMCTL_BACKUP_RESTORER_H
