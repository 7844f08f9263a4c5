#include "backups_service.h"

#include <utility>

#include "disk.h"
#include "maker.h"
#include "restorer.h"
#include "teller.h"
#include "upload.h"

namespace imctl::backup {
BackupsService::BackupsService(Core* core, Scheduler* scheduler, Module* module)
    : core_(core), scheduler_(scheduler) {
  module->serve("/imctl.backup.v1.Backups/Create", this, &BackupsService::create);
  module->serve("/imctl.backup.v1.Backups/List", this, &BackupsService::list);
  module->serve("/imctl.backup.v1.Backups/Get", this, &BackupsService::get);
  module->serve("/imctl.backup.v1.Backups/Verify", this, &BackupsService::verify);
  module->serve("/imctl.backup.v1.Backups/Restore", this, &BackupsService::restore);
  module->serve("/imctl.backup.v1.Backups/Delete", this, &BackupsService::remove);
  module->serve("/imctl.backup.v1.Backups/Prune", this, &BackupsService::prune);
  module->serve("/imctl.backup.v1.Backups/Schedule", this, &BackupsService::schedule);
  module->serve("/imctl.backup.v1.Backups/MakeKey", this, &BackupsService::make_key);
}

Task<Status> BackupsService::create(const v1::CreateBackupRequest& request,
                                    imctl::Writer<v1::CreateBackupResponse>& writer) {
  Teller<v1::CreateBackupResponse> teller(core_->host, &writer);
  MakeCaller caller;
  caller.writer = &writer;
  caller.progress = [&](uint64_t bytes) {
    v1::CreateBackupResponse response;
    response.set_bytes(bytes);
    return teller.tell(response);
  };
  MakeRequest what;
  what.to = request.to();
  what.since = request.since();
  what.reason = request.reason();
  Result<v1::CreateBackupResponse> made =
      co_await make_backup(core_, std::move(what), std::move(caller));
  if (!made.ok()) co_return made.status();
  if (!co_await writer.write(*made)) co_return caller_gone();
  co_return Status();
}

Result<v1::ListBackupsResponse> BackupsService::list(const v1::ListBackupsRequest& /*request*/,
                                                     const Context& /*context*/) {
  Result<std::vector<v1::Backup>> all = core_->folder().list();
  if (!all.ok()) return all.status();
  v1::ListBackupsResponse response;
  for (v1::Backup& backup : *all) *response.add_backups() = std::move(backup);
  return response;
}

Result<v1::Backup> BackupsService::get(const v1::GetBackupRequest& request,
                                       const Context& /*context*/) {
  const Folder folder = core_->folder();
  Result<v1::Backup> backup = folder.find(request.backup());
  if (!backup.ok()) return backup.status();
  Result<std::unique_ptr<FileReader>> file = folder.open(backup->id());
  if (!file.ok()) return file.status();
  Result<std::unique_ptr<Chain>> chain = Chain::open(std::move(*file), folder.finder(), {});
  if (chain.ok()) {
    const std::vector<std::string> ids = (*chain)->ids();
    backup->mutable_chain()->Add(ids.begin() + 1, ids.end());
  } else {
    backup->set_problem(chain.status().message());
  }
  return backup;
}

template <class Request, class Response>
Task<Result<std::unique_ptr<Chain>>> BackupsService::open_chain(Stream<Request, Response>& stream,
                                                                const Request& first) {
  std::string key;
  if (!first.key().empty()) {
    Result<std::string> read = read_key(first.key());
    if (!read.ok()) co_return read.status();
    key = std::move(*read);
  }
  if (Status status = co_await on_slow_pool(core_->host); !status.ok()) co_return status;
  const Folder folder = core_->folder();
  Result<std::unique_ptr<FileReader>> file = Status(
      IMCTL_INVALID_ARGUMENT,
      "name a backup: its id, the first digits of it, or \"last\"; or give a file, --upload FILE");
  if (!first.backup().empty()) {
    Result<v1::Backup> backup = folder.find(first.backup());
    if (!backup.ok()) co_return backup.status();
    file = folder.open(backup->id());
  } else if (!first.upload().empty()) {
    Result<std::shared_ptr<Source>> source = co_await take_upload(core_, stream, first.upload());
    if (!source.ok()) co_return source.status();
    if (Status status = co_await on_slow_pool(core_->host); !status.ok()) co_return status;
    file = FileReader::open(*source, "the file");
  }
  if (!file.ok()) co_return file.status();
  co_return Chain::open(std::move(*file), folder.finder(), key);
}

Task<Status> BackupsService::verify(
    Stream<v1::VerifyBackupRequest, v1::VerifyBackupResponse>& stream) {
  std::optional<v1::VerifyBackupRequest> first = co_await stream.read();
  if (!first) co_return Status(IMCTL_INVALID_ARGUMENT, "there is no request");
  Result<std::unique_ptr<Chain>> chain = co_await open_chain(stream, *first);
  if (!chain.ok()) co_return chain.status();
  Teller<v1::VerifyBackupResponse> teller(core_->host, &stream);
  v1::VerifyBackupResponse response;
  const RestoreProgress progress = [&](uint64_t bytes, uint64_t total) {
    response.set_bytes(bytes);
    response.set_total(total);
    return teller.tell(response);
  };
  Status status = co_await check_chain(core_, chain->get(), (*chain)->size(), progress);
  if (!status.ok()) co_return status;
  response.set_bytes((*chain)->size());
  response.set_total((*chain)->size());
  response.set_id((*chain)->top().header().id());
  response.set_verdict((*chain)->locked() ? "whole; what is in it cannot be read without --key"
                                          : "good");
  response.set_files(static_cast<uint32_t>((*chain)->files()));
  *response.mutable_stored() = (*chain)->top().trailer().stored();
  if (!co_await stream.write(response)) co_return caller_gone();
  co_return Status();
}

Task<Status> BackupsService::restore(
    Stream<v1::RestoreBackupRequest, v1::RestoreBackupResponse>& stream) {
  std::optional<v1::RestoreBackupRequest> first = co_await stream.read();
  if (!first) co_return Status(IMCTL_INVALID_ARGUMENT, "there is no request");
  RestoreRequest request;
  Result<Selection> selection = Selection::parse({first->only().begin(), first->only().end()});
  if (!selection.ok()) co_return selection.status();
  request.selection = std::move(*selection);
  request.replace = first->replace();
  request.keep_epochs = first->keep_epochs();
  request.caller = &stream.context();
  Result<std::unique_ptr<Chain>> chain = co_await open_chain(stream, *first);
  if (!chain.ok()) co_return chain.status();
  Teller<v1::RestoreBackupResponse> teller(core_->host, &stream);
  v1::RestoreBackupResponse response;
  const RestoreProgress progress = [&](uint64_t bytes, uint64_t total) {
    response.set_bytes(bytes);
    response.set_total(total);
    return teller.tell(response);
  };
  Result<v1::RestoreBackupResponse> done =
      co_await backup::restore(core_, chain->get(), std::move(request), progress);
  if (!done.ok()) co_return done.status();
  if (!co_await stream.write(*done)) co_return caller_gone();
  co_return Status();
}

Result<v1::DeleteBackupResponse> BackupsService::remove(const v1::DeleteBackupRequest& request,
                                                        const Context& context) {
  const Folder folder = core_->folder();
  Result<v1::Backup> backup = folder.find(request.backup());
  if (!backup.ok()) return backup.status();
  Result<std::vector<v1::Backup>> dependents = folder.dependents(backup->id());
  if (!dependents.ok()) return dependents.status();
  if (!dependents->empty() && !request.cascade()) {
    return Status(IMCTL_FAILED_PRECONDITION,
                  "backup " + backup->id() + " is needed by " + std::to_string(dependents->size()) +
                      " that stand on it, the next of them " + dependents->front().id() +
                      ": --cascade removes them too");
  }
  // The youngest first, so that none is ever without what it stands on.
  std::vector<v1::Backup> going = std::move(*dependents);
  going.insert(going.begin(), std::move(*backup));
  v1::DeleteBackupResponse response;
  for (auto gone = going.rbegin(); gone != going.rend(); ++gone) {
    if (!context.dry_run()) {
      if (Status status = folder.remove(*gone); !status.ok()) return status;
      (void)remove_file(core_->known_folder() + "/" + gone->id());
    }
    *response.add_removed() = std::move(*gone);
  }
  return response;
}

Result<std::vector<v1::Backup>> prune_backups(const Core& core, const std::vector<KeepRule>& rules,
                                              bool dry_run) {
  const Folder folder = core.folder();
  Result<std::vector<v1::Backup>> all = folder.list();
  if (!all.ok()) return all.status();
  std::vector<Kept> backups;
  for (const v1::Backup& backup : *all) {
    // What cannot be read is for people to look at.
    if (backup.id().empty() || !backup.problem().empty()) continue;
    backups.push_back(
        {backup.id(), backup.parent(), WallTime(std::chrono::seconds(backup.created().seconds()))});
  }
  std::vector<v1::Backup> removed;
  const std::vector<std::string> gone = not_kept(backups, rules);
  for (auto id = gone.rbegin(); id != gone.rend(); ++id) {
    for (v1::Backup& backup : *all) {
      if (backup.id() != *id) continue;
      if (!dry_run) {
        if (Status status = folder.remove(backup); !status.ok()) return status;
        (void)remove_file(core.known_folder() + "/" + backup.id());
      }
      removed.push_back(std::move(backup));
      break;
    }
  }
  return removed;
}

Result<v1::PruneBackupsResponse> BackupsService::prune(const v1::PruneBackupsRequest& request,
                                                       const Context& context) {
  Result<std::vector<KeepRule>> rules =
      request.keep().empty() ? Result<std::vector<KeepRule>>(core_->options()->keep)
                             : parse_keep({request.keep().begin(), request.keep().end()});
  if (!rules.ok()) return rules.status();
  if (rules->empty()) {
    return Status(IMCTL_FAILED_PRECONDITION,
                  "nothing says which backups to keep: set `keep` in section [backup], or give "
                  "--keep 7d");
  }
  Result<std::vector<v1::Backup>> removed = prune_backups(*core_, *rules, context.dry_run());
  if (!removed.ok()) return removed.status();
  v1::PruneBackupsResponse response;
  for (v1::Backup& backup : *removed) *response.add_removed() = std::move(backup);
  return response;
}

Result<v1::ScheduleResponse> BackupsService::schedule(const v1::ScheduleRequest& /*request*/,
                                                      const Context& /*context*/) {
  return scheduler_->describe();
}

Result<v1::MakeKeyResponse> BackupsService::make_key(const v1::MakeKeyRequest& /*request*/,
                                                     const Context& /*context*/) {
  v1::MakeKeyResponse response;
  response.set_file(key_file(new_key_pair()));
  return response;
}

}  // namespace imctl::backup
