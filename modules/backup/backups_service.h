// imctl.backup.v1.Backups.
#ifndef IMCTL_BACKUP_BACKUPS_SERVICE_H
#define IMCTL_BACKUP_BACKUPS_SERVICE_H

#include <memory>
#include <string>

#include "chain.h"
#include "core.h"
#include "imctl/backup/v1/backups.pb.h"
#include "scheduler.h"

namespace imctl::backup {

class BackupsService {
 public:
  BackupsService(Core* core, Scheduler* scheduler, Module* module);

 private:
  template <class Request, class Response>
  Task<Result<std::unique_ptr<Chain>>> open_chain(Stream<Request, Response>& stream,
                                                  const Request& first);

  Task<Status> create(const v1::CreateBackupRequest& request,
                      imctl::Writer<v1::CreateBackupResponse>& writer);
  Result<v1::ListBackupsResponse> list(const v1::ListBackupsRequest&, const Context&);
  Result<v1::Backup> get(const v1::GetBackupRequest& request, const Context&);
  Task<Status> verify(Stream<v1::VerifyBackupRequest, v1::VerifyBackupResponse>& stream);
  Task<Status> restore(Stream<v1::RestoreBackupRequest, v1::RestoreBackupResponse>& stream);
  Result<v1::DeleteBackupResponse> remove(const v1::DeleteBackupRequest& request,
                                          const Context& context);
  Result<v1::PruneBackupsResponse> prune(const v1::PruneBackupsRequest& request,
                                         const Context& context);
  Result<v1::ScheduleResponse> schedule(const v1::ScheduleRequest&, const Context&);
  Result<v1::MakeKeyResponse> make_key(const v1::MakeKeyRequest&, const Context&);

  Core* const core_;
  Scheduler* const scheduler_;
};

// Removes what the rules do not keep; of a dry run only says what. Blocks.
Result<std::vector<v1::Backup>> prune_backups(const Core& core, const std::vector<KeepRule>& rules,
                                              bool dry_run);

}  // namespace imctl::backup

#endif  // IMCTL_BACKUP_BACKUPS_SERVICE_H
