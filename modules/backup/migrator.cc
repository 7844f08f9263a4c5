#include "migrator.h"

#include <algorithm>
#include <memory>
#include <optional>
#include <string>
#include <utility>

#include "items.h"
#include "replacing_load.h"
#include "teller.h"

namespace imctl::backup {
namespace {

using storage::v1::SnapshotItem;

bool is_address(const std::string& to) { return to.find("://") != std::string::npos; }

// Did it change nothing, for sure? Else it may be that only the answer was lost.
bool refused(const Status& status) {
  switch (status.code()) {
    case IMCTL_INVALID_ARGUMENT:
    case IMCTL_FAILED_PRECONDITION:
    case IMCTL_RESOURCE_EXHAUSTED:
    case IMCTL_DATA_LOSS: return true;
    default: return false;
  }
}

class Migrating {
 public:
  Migrating(Core* core, const v1::MigrateDataRequest& request,
            imctl::Writer<v1::MigrateDataResponse>* writer)
      : core_(core), request_(request), writer_(writer), teller_(core->host, writer) {}

  Task<Result<v1::MigrateDataResponse>> run() {
    Status status = co_await check();
    if (status.ok() && !writer_->context().dry_run()) status = co_await move();
    if (!status.ok()) co_return status;
    co_return std::move(response_);
  }

 private:
  Status not_empty() const {
    return {IMCTL_FAILED_PRECONDITION, "there is something in " + request_.to() +
                                           " already: --replace puts what is stored here in the "
                                           "place of it"};
  }

  template <class Modules>
  Status check_module(const Modules& modules) const {
    const auto module = std::find_if(modules.begin(), modules.end(),
                                     [&](const auto& one) { return one.name() == request_.to(); });
    if (module == modules.end()) {
      return {IMCTL_INVALID_ARGUMENT,
              "to: there is no module " + request_.to() +
                  " that is installed here: `imctl module list` shows them"};
    }
    const auto& services = module->services();
    if (std::find(services.begin(), services.end(), "imctl.storage.v1.Snapshots") ==
        services.end()) {
      return {};
    }
    return {IMCTL_INVALID_ARGUMENT, "to: all is stored in " + request_.to() + " now"};
  }

  // That there is a storage which can take it.
  Task<Status> check() {
    if (!is_address(request_.to())) {
      const imctl::host::v1::ListModulesRequest all;
      auto modules = co_await core_->modules(all, CallOptions());
      if (!modules.ok()) co_return modules.status();
      if (Status status = check_module(modules->modules()); !status.ok()) co_return status;
    }
    target_.emplace(core_->host, "@" + request_.to());
    Result<bool> empty = co_await target_->is_empty(false);
    if (!empty.ok()) co_return empty.status();
    if (!*empty && !request_.replace()) co_return not_empty();
    // Nobody who has seen its epochs and revisions sees these, or those are the same.
    keep_epochs_ = *empty || !is_address(request_.to());
    response_.set_outcome(*empty ? "would be moved" : "would replace what is there");
    co_return Status();
  }

  Task<Status> move() {
    ReplacingLoad here(core_->storage);
    if (Result<bool> begun = co_await here.begin(false); !begun.ok()) co_return begun.status();
    // From here on nobody writes: what is dumped now is all that there is.
    Status status = co_await copy();
    if (status.ok()) status = co_await here.moved(request_.to());
    if (!status.ok()) co_return status;
    // Nor will anybody, whatever happens to this host. So the other may be written to.
    status = co_await there_->end();
    if (status.ok()) {
      response_.set_outcome("moved");
      *response_.mutable_stored() = there_->counts();
      core_->host.info("all that is stored was moved to " + request_.to() +
                       ": nothing can be written here any more, until the storage's services are "
                       "bound to that");
      co_return status;
    }
    status = co_await undo(status);
    co_return status;
  }

  Task<Status> copy() {
    there_ = std::make_unique<ReplacingLoad>(*target_);
    Result<bool> empty = co_await there_->begin(keep_epochs_);
    if (!empty.ok()) co_return empty.status();
    if (!*empty && !request_.replace()) co_return not_empty();
    storage::v1::DumpRequest request;
    request.set_replacing(true);
    ClientStream<storage::v1::DumpRequest, Buffer> dump(core_->storage.dump, {}, &request);
    bool ended = false;
    while (std::optional<Buffer> chunk = co_await dump.read()) {
      read_ += chunk->size();
      Items items;
      items.fill(std::move(*chunk));
      if (!items.status().ok()) co_return items.status();
      for (; !items.empty(); items.next()) {
        const auto kind = items.kind();
        if (kind == SnapshotItem::kBegin || kind == SnapshotItem::kEnd) {
          if (Status status = look_at(items.item(), &ended); !status.ok()) co_return status;
          continue;
        }
        there_->add(items.whole(), kind);
        if (!there_->full()) continue;
        if (Status status = co_await there_->send(); !status.ok()) co_return status;
      }
      response_.set_bytes(read_);
      if (Status status = co_await teller_.tell(response_); !status.ok()) co_return status;
    }
    Result<Buffer> end = co_await dump.finish();
    if (!end.ok()) co_return end.status();
    if (ended) co_return Status();
    co_return Status(IMCTL_DATA_LOSS, "the storage's dump has not come to its end");
  }

  Status look_at(std::string_view bytes, bool* ended) {
    SnapshotItem item;
    if (!item.ParseFromArray(bytes.data(), static_cast<int>(bytes.size()))) {
      return {IMCTL_DATA_LOSS, "what the storage dumps is no dump"};
    }
    if (item.has_begin()) response_.set_total(item.begin().bytes());
    if (!item.has_end()) return {};
    *ended = true;
    return same(item.end(), there_->counts())
               ? Status()
               : Status(IMCTL_DATA_LOSS, "the storage's dump lacks parts of what is stored");
  }

  // The other did not take it at the end.
  Task<Status> undo(Status why) {
    if (!refused(why)) {
      co_return Status(why.code(),
                       "whether " + request_.to() + " took all of it is not known (" +
                           why.message() +
                           "), so nothing can be written here: look there, then migrate again "
                           "(--replace), or go on here with `imctl data migrate --reopen`");
    }
    Status opened = co_await reopen(core_);
    if (opened.ok()) co_return why;
    co_return Status(why.code(), why.message() + "; and nothing can be written here, since " +
                                     opened.message() +
                                     ": go on here with `imctl data migrate --reopen`");
  }

 public:
  // What is stored is here, after all.
  static Task<Status> reopen(Core* core) {
    ReplacingLoad here(core->storage);
    if (Result<bool> begun = co_await here.begin(false); !begun.ok()) co_return begun.status();
    Status status = co_await here.moved("");
    co_return status;
  }

 private:
  Core* const core_;
  const v1::MigrateDataRequest& request_;
  imctl::Writer<v1::MigrateDataResponse>* const writer_;
  Teller<v1::MigrateDataResponse> teller_;
  std::optional<Storage> target_;
  std::unique_ptr<ReplacingLoad> there_;
  v1::MigrateDataResponse response_;
  bool keep_epochs_ = false;
  uint64_t read_ = 0;
};

}  // namespace

Task<Status> migrate(Core* core, const v1::MigrateDataRequest& request,
                     imctl::Writer<v1::MigrateDataResponse>& writer) {
  if (request.to().empty() == !request.reopen()) {
    co_return Status(IMCTL_INVALID_ARGUMENT,
                     "say where to, --to MODULE or --to grpc://HOST:PORT; or --reopen");
  }
  Result<v1::MigrateDataResponse> done = v1::MigrateDataResponse();
  if (!request.reopen()) {
    Migrating migrating(core, request, &writer);
    done = co_await migrating.run();
  } else if (writer.context().dry_run()) {
    done->set_outcome("would be reopened");
  } else {
    Status status = co_await Migrating::reopen(core);
    if (!status.ok()) co_return status;
    core->host.info("what is stored here is written to again, though it was moved before");
    done->set_outcome("reopened");
  }
  if (!done.ok()) co_return done.status();
  if (!co_await writer.write(*done)) co_return caller_gone();
  co_return Status();
}

}  // namespace imctl::backup
