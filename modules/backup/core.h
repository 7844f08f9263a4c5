// What the module's services share.
#ifndef IMCTL_BACKUP_CORE_H
#define IMCTL_BACKUP_CORE_H

#include <sys/resource.h>
#include <unistd.h>

#include <memory>
#include <mutex>
#include <string>
#include <utility>

#include "folder.h"
#include "imctl/host/v1/host.pb.h"
#include "imctl/host/v1/settings.pb.h"
#include "imctl/on_pool.h"
#include "imctl/sdk.h"
#include "imctl/storage/v1/mailboxes.pb.h"
#include "imctl/user/v1/users.pb.h"
#include "options.h"
#include "replacing_load.h"

namespace imctl::backup {

struct Core {
  explicit Core(const Host& h)
      : host(h),
        storage(h, ""),
        settings(h, "/imctl.host.v1.Settings/List"),
        set_setting(h, "/imctl.host.v1.Settings/Set"),
        secrets(h, "/imctl.host.v1.Secrets/List"),
        modules(h, "/imctl.host.v1.Modules/List"),
        users(h, "/imctl.user.v1.Users/Dump"),
        import_users(h, "/imctl.user.v1.Users/Import"),
        append(h, "/imctl.storage.v1.Mailboxes/Append"),
        read_mailbox(h, "/imctl.storage.v1.Mailboxes/Read"),
        cursors(h, "/imctl.storage.v1.Mailboxes/Cursors"),
        ack(h, "/imctl.storage.v1.Mailboxes/Ack"),
        made(runs("ok")),
        failed(runs("failed")),
        bytes(h.counter("imctl_backup_bytes_total", "Bytes read for backups, uncompressed")),
        seconds(h.histogram("imctl_backup_seconds", "Time that a backup took")),
        last(h.gauge("imctl_backup_last_success_timestamp_seconds",
                     "When the last backup was made, as a Unix time")),
        missed(h.counter("imctl_backup_missed_total",
                         "Backups of the schedule that were not made in time")) {}

  std::shared_ptr<const Options> options() const {
    std::lock_guard lock(mutex);
    return current;
  }
  void set_options(Options options) {
    std::lock_guard lock(mutex);
    current = std::make_shared<const Options>(std::move(options));
  }
  Folder folder() const { return Folder(options()->folder); }
  std::string known_folder() const { return options()->data_dir + "/known"; }

  const Host host;
  const Storage storage;
  const Method<imctl::host::v1::ListSettingsRequest, imctl::host::v1::ListSettingsResponse>
      settings;
  const Method<imctl::host::v1::SetSettingRequest, imctl::host::v1::ChangeSettingsResponse>
      set_setting;
  const Method<imctl::host::v1::ListSecretsRequest, imctl::host::v1::ListSecretsResponse> secrets;
  const Method<imctl::host::v1::ListModulesRequest, imctl::host::v1::ListModulesResponse> modules;
  const Method<user::v1::DumpUsersRequest, user::v1::ImportLine> users;
  const Method<user::v1::ImportUsersRequest, user::v1::ImportUsersResponse> import_users;
  const Method<storage::v1::AppendRequest, storage::v1::AppendResponse> append;
  const Method<storage::v1::ReadRequest, storage::v1::ReadResponse> read_mailbox;
  const Method<storage::v1::CursorsRequest, storage::v1::CursorsResponse> cursors;
  const Method<storage::v1::AckRequest, storage::v1::Cursor> ack;
  const Metric made, failed, bytes, seconds, last, missed;

  mutable std::mutex mutex;
  std::shared_ptr<const Options> current = std::make_shared<Options>();  // guarded by mutex

 private:
  Metric runs(const char* outcome) const {
    return host.counter("imctl_backup_runs_total", "Backups, by how they ended",
                        std::string("outcome=\"") + outcome + "\"");
  }
};

// Goes on on a thread of the module's pool, which yields to all others: a backup has time.
inline Task<Status> on_slow_pool(const Host& host) {
  Status status = co_await on_pool(host);
  if (status.ok()) {
    constexpr int kNice = 10;
    static thread_local bool slow = false;
    if (!std::exchange(slow, true)) {
      ::setpriority(PRIO_PROCESS, static_cast<id_t>(::gettid()), kNice);
    }
  }
  co_return status;
}

// Goes on from the pool's queue even if this is one of its threads: what was just written to a
// stream is on its way then, whatever blocks here next.
inline auto on_pool_anew(const Host& host) {
  struct Awaiter {
    const Host& host;
    bool await_ready() const { return false; }
    bool await_suspend(std::coroutine_handle<> handle) const {
      return host.post([handle] { handle.resume(); }).ok();
    }
    void await_resume() const {}
  };
  return Awaiter{host};
}

inline Status caller_gone() { return {IMCTL_CANCELLED, "the caller went away"}; }

}  // namespace imctl::backup

#endif  // IMCTL_BACKUP_CORE_H
