#include "maker.h"

#include <google/protobuf/util/time_util.h>

#include <chrono>
#include <map>
#include <optional>
#include <thread>
#include <utility>

#include "disk.h"
#include "file_writer.h"
#include "pace.h"

namespace imctl::backup {
namespace {

using Clock = std::chrono::steady_clock;
constexpr size_t kOut = size_t{1} << 20U;

struct Parent {
  std::string id;
  std::string hash;
  std::unordered_set<std::string> digests;
  uint32_t depth = 0;
};

// What is known of a backup that was made here; else what its file says, if it can be read.
Result<Parent> find_parent(const Core& core, const std::string& name) {
  Result<v1::Backup> backup = core.folder().find(name);
  if (!backup.ok()) return backup.status();
  Parent parent;
  parent.id = backup->id();
  Result<std::string> bytes = read_small(core.known_folder() + "/" + parent.id);
  v1::KnownBackup known;
  if (bytes.ok() && known.ParseFromString(*bytes) && known.id() == parent.id) {
    parent.hash = known.hash();
    parent.digests.insert(known.digests().begin(), known.digests().end());
    parent.depth = known.depth();
    return parent;
  }
  Result<std::unique_ptr<FileReader>> file = core.folder().open(parent.id);
  if (!file.ok()) return file.status();
  Result<std::unique_ptr<Chain>> chain = Chain::open(std::move(*file), core.folder().finder(), {});
  if (!chain.ok()) return chain.status();
  if ((*chain)->locked()) {
    return Status(IMCTL_FAILED_PRECONDITION,
                  "the backup " + parent.id +
                      " is encrypted and was not made by this host, so it is not known what is in "
                      "it: make one without --since");
  }
  Status status = (*chain)->check();
  if (!status.ok()) return status;
  parent.hash = (*chain)->top().hash();
  parent.digests = (*chain)->digests();
  parent.depth = static_cast<uint32_t>((*chain)->files() - 1);
  return parent;
}

void remember(const Core& core, const FileWriter& writer, const std::optional<Parent>& parent) {
  v1::KnownBackup known;
  known.set_id(writer.header().id());
  known.set_hash(writer.hash());
  for (const v1::IndexedBlock& block : writer.index().blocks()) known.add_digests(block.digest());
  if (parent) {
    for (const std::string& digest : parent->digests) known.add_digests(digest);
    known.set_depth(parent->depth + 1);
  }
  Status status = make_folder(core.known_folder());
  if (status.ok()) {
    status = replace_small(core.known_folder() + "/" + known.id(), known.SerializeAsString());
  }
  if (!status.ok()) {
    core.host.warn("what is in backup " + known.id() + " cannot be noted (" + status.message() +
                   "): the next incremental one reads its file");
  }
}

google::protobuf::Timestamp now() {
  // TimeUtil::GetCurrentTime() knows seconds only, and backups have an order.
  return google::protobuf::util::TimeUtil::MillisecondsToTimestamp(
      std::chrono::duration_cast<std::chrono::milliseconds>(
          std::chrono::system_clock::now().time_since_epoch())
          .count());
}

class Making {
 public:
  Making(Core* core, MakeRequest request, MakeCaller caller)
      : core_(core),
        options_(core->options()),
        request_(std::move(request)),
        caller_(std::move(caller)) {}

  Task<Result<v1::CreateBackupResponse>> run() {
    if (Status status = co_await on_slow_pool(core_->host); !status.ok()) co_return status;
    if (!request_.since.empty()) {
      Result<Parent> parent = find_parent(*core_, request_.since);
      if (!parent.ok()) co_return parent.status();
      parent_ = std::move(*parent);
    }
    Status status = co_await begin();
    if (status.ok()) status = co_await add_host();
    if (status.ok()) status = co_await add_storage();
    if (status.ok()) status = co_await finish();
    if (!status.ok()) co_return status;
    v1::CreateBackupResponse done;
    done.set_bytes(writer_->trailer().size());
    done.set_id(writer_->header().id());
    done.set_name(output_->name());
    done.set_size(writer_->trailer().size());
    done.set_file_size(writer_->file_size());
    *done.mutable_stored() = writer_->trailer().stored();
    done.set_parent(writer_->header().parent());
    co_return done;
  }

 private:
  Task<Status> begin() {
    v1::FileHeader header;
    header.set_imctl_version(IMCTL_VERSION);
    *header.mutable_created() = now();
    header.set_domain(options_->domain);
    header.set_reason(request_.reason);
    // Without what the host has to say a backup is a backup, too.
    const imctl::host::v1::ListSettingsRequest all_settings;
    const imctl::host::v1::ListModulesRequest all_modules;
    const CallOptions plain;
    auto settings = co_await core_->settings(all_settings, plain);
    if (settings.ok()) settings_ = std::move(*settings);
    auto modules = co_await core_->modules(all_modules, plain);
    if (modules.ok()) modules_ = std::move(*modules);
    Status secrets(IMCTL_FAILED_PRECONDITION, "the backup is not encrypted");
    if (!options_->public_key.empty()) secrets = co_await read_secrets();
    if (Status status = co_await on_slow_pool(core_->host); !status.ok()) co_return status;
    for (const auto& module : modules_.modules()) {
      for (const std::string& service : module.services()) {
        if (service == "imctl.storage.v1.Snapshots") {
          header.set_storage(module.name() + " " + module.version());
        }
      }
    }
    header.add_contents("storage");
    if (settings.ok()) header.add_contents("settings");
    if (modules.ok()) header.add_contents("modules");
    if (secrets.ok() && settings.ok()) header.add_contents("secrets");
    FileWriter::Options options;
    options.level = options_->level;
    options.public_key = options_->public_key;
    if (parent_) {
      header.set_parent(parent_->id);
      header.set_parent_hash(parent_->hash);
      options.known = parent_->digests;
    }
    writer_.emplace(std::move(header), std::move(options), &out_);
    Result<std::unique_ptr<Output>> output = open();
    if (!output.ok()) co_return output.status();
    output_ = std::move(*output);
    co_return Status();
  }

  // Only for a file that nobody can read without its key.
  Task<Status> read_secrets() {
    const imctl::host::v1::ListSecretsRequest all;
    auto secrets = co_await core_->secrets(all, CallOptions());
    if (!secrets.ok()) {
      core_->host.warn("secrets of the settings are not in the backup: " +
                       secrets.status().message());
      co_return secrets.status();
    }
    for (auto& secret : *secrets->mutable_secrets()) {
      secrets_[secret.key()] = std::move(*secret.mutable_value());
    }
    co_return Status();
  }

  Result<std::unique_ptr<Output>> open() {
    if (request_.to == "-") return stream_output(caller_.writer);
    if (!request_.to.empty()) return file_output(request_.to, writer_->header());
    if (!options_->command.empty()) return command_output(options_->command, writer_->header());
    return file_output(options_->folder + "/", writer_->header());
  }

  Task<Status> add_host() {
    Status status;
    for (const auto& setting : settings_.settings()) {
      // What nobody said is the default of whichever version reads it.
      if (setting.source() == "default") continue;
      v1::SavedSetting saved;
      saved.set_key(setting.key());
      saved.set_source(setting.source());
      if (auto secret = secrets_.find(setting.key()); secret != secrets_.end()) {
        saved.set_value(secret->second);
        saved.set_secret(true);
      } else if (setting.value().find("***") != std::string::npos) {
        saved.set_secret(true);  // some of it, in a URI, or all
      } else {
        saved.set_value(setting.value());
      }
      if (status.ok()) status = writer_->add(v1::BLOCK_KIND_SETTINGS, saved);
    }
    for (const auto& module : modules_.modules()) {
      v1::SavedModule saved;
      saved.set_name(module.name());
      saved.set_version(module.version());
      saved.set_state(module.state());
      saved.set_file(module.file());
      if (status.ok()) status = writer_->add(v1::BLOCK_KIND_MODULES, saved);
    }
    co_return status;
  }

  Task<Status> add_storage() {
    storage::v1::DumpRequest request;
    request.set_replacing(request_.replacing);
    ClientStream<storage::v1::DumpRequest, Buffer> dump(core_->storage.dump, {}, &request);
    while (std::optional<Buffer> chunk = co_await dump.read()) {
      if (Status status = co_await on_slow_pool(core_->host); !status.ok()) co_return status;
      if (Status status = writer_->add_dump(chunk->view()); !status.ok()) co_return status;
      read_ += chunk->size();
      core_->bytes.add(static_cast<double>(chunk->size()));
      if (Status status = co_await flush(kOut); !status.ok()) co_return status;
      if (caller_.progress) {
        if (Status status = co_await caller_.progress(read_); !status.ok()) co_return status;
      }
      if (Status status = co_await on_slow_pool(core_->host); !status.ok()) co_return status;
      pause(chunk->size());
    }
    Result<Buffer> end = co_await dump.finish();
    if (!end.ok()) co_return end.status();
    if (Status status = co_await on_slow_pool(core_->host); !status.ok()) co_return status;
    co_return writer_->dump_ended();
  }

  // On a thread that may wait.
  void pause(uint64_t bytes) {
    const std::shared_ptr<const Options> options = core_->options();
    const auto wait = pace_.after(bytes, options->max_rate, options->yield);
    if (wait.count() > 0 && core_->host.on_pool_thread()) std::this_thread::sleep_for(wait);
  }

  Task<Status> flush(size_t least) {
    if (out_.size() < least || out_.empty()) co_return Status();
    Status status = co_await output_->write(std::exchange(out_, {}));
    co_return status;
  }

  Task<Status> finish() {
    Status status = writer_->finish();
    if (status.ok()) status = co_await flush(0);
    if (status.ok()) status = co_await on_slow_pool(core_->host);
    if (status.ok()) status = co_await output_->commit();
    if (status.ok()) remember(*core_, *writer_, parent_);
    co_return status;
  }

  Core* const core_;
  const std::shared_ptr<const Options> options_;
  const MakeRequest request_;
  const MakeCaller caller_;
  std::optional<Parent> parent_;
  imctl::host::v1::ListSettingsResponse settings_;
  imctl::host::v1::ListModulesResponse modules_;
  std::map<std::string, std::string> secrets_;  // by key
  std::string out_;
  std::optional<FileWriter> writer_;
  std::unique_ptr<Output> output_;
  uint64_t read_ = 0;
  Pace pace_;
};

}  // namespace

Task<Result<v1::CreateBackupResponse>> make_backup(Core* core, MakeRequest request,
                                                   MakeCaller caller) {
  const Clock::time_point start = Clock::now();
  Making making(core, std::move(request), std::move(caller));
  Result<v1::CreateBackupResponse> made = co_await making.run();
  if (made.ok()) {
    core->made.add();
    core->seconds.observe(std::chrono::duration<double>(Clock::now() - start).count());
    core->last.set(static_cast<double>(std::time(nullptr)));
    core->host.info("backup " + made->id() + " is made: " + std::to_string(made->file_size()) +
                    " bytes" + (made->name().empty() ? "" : " in " + made->name()));
  } else {
    core->failed.add();
    core->host.warn("a backup failed: " + made.status().message());
  }
  co_return made;
}

}  // namespace imctl::backup
