#include "host_restorer.h"

#include <algorithm>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "records.h"

namespace imctl::backup {
namespace {

struct SavedHost {
  std::vector<v1::SavedSetting> settings;
  std::vector<v1::SavedModule> modules;
};

// They stand before what is stored.
Result<SavedHost> read_host(Chain* chain) {
  SavedHost host;
  if (Status status = chain->rewind(); !status.ok()) return status;
  for (;;) {
    Result<std::optional<ReadBlock>> block = chain->next();
    if (!block.ok()) return block.status();
    if (!*block || (*block)->kind == v1::BLOCK_KIND_STORAGE) return host;
    const bool settings = (*block)->kind == v1::BLOCK_KIND_SETTINGS;
    Status status =
        for_each_record(*(*block)->bytes, [&](std::string_view, std::string_view record) {
          google::protobuf::MessageLite* message = nullptr;
          if (settings) {
            message = &host.settings.emplace_back();
          } else {
            message = &host.modules.emplace_back();
          }
          return message->ParseFromArray(record.data(), static_cast<int>(record.size()))
                     ? Status()
                     : Status(IMCTL_DATA_LOSS, "a record cannot be read");
        });
    if (!status.ok()) return status;
  }
}

// Why not; empty: it can be put back.
std::string left_out(const v1::SavedSetting& setting) {
  const std::string& source = setting.source();
  if (source.starts_with("env ") || source.starts_with("--")) {
    return "it was not in the config file but came from " + source;
  }
  const bool masked = setting.value().find("***") != std::string::npos && !setting.secret();
  if (setting.value().empty() || masked) {
    return "its value is not in the backup: secrets are in encrypted ones only";
  }
  return {};
}

bool runs(const std::string& state) { return state == "active" || state == "ill"; }

std::string file_name(const v1::SavedModule& module) {
  const std::string& file = module.file();
  return file.empty() ? module.name() + ".so" : file.substr(file.rfind('/') + 1);
}

}  // namespace

Task<Status> restore_host(Core* core, Chain* chain, const Selection& selection,
                          const Context& caller, v1::RestoreBackupResponse* response) {
  if (Status status = co_await on_slow_pool(core->host); !status.ok()) co_return status;
  Result<SavedHost> saved = read_host(chain);
  if (!saved.ok()) co_return saved.status();
  CallOptions on_behalf;
  on_behalf.parent = &caller;
  on_behalf.dry_run = caller.dry_run();
  for (v1::SavedSetting& setting : saved->settings) {
    if (!selection.has_setting(setting.key())) continue;
    v1::RestoredSetting* restored = response->add_settings();
    restored->set_key(setting.key());
    if (std::string why = left_out(setting); !why.empty()) {
      restored->set_state("left out");
      restored->set_how(std::move(why));
      continue;
    }
    imctl::host::v1::SetSettingRequest request;
    request.set_key(setting.key());
    request.set_why("restore of backup " + response->id());
    if (setting.secret()) {
      request.set_secret(setting.value());
    } else {
      request.add_values(setting.value());
    }
    auto changes = co_await core->set_setting(request, on_behalf);
    if (!changes.ok()) {
      restored->set_state("refused");
      restored->set_how(changes.status().message());
      continue;
    }
    restored->set_state("unchanged");
    for (const auto& change : changes->changes()) {
      if (change.key() != setting.key()) continue;
      restored->set_state(change.state());
      restored->set_how(change.how());
    }
  }
  const imctl::host::v1::ListModulesRequest all;
  auto modules = co_await core->modules(all, CallOptions());
  if (!modules.ok()) co_return Status();
  for (const v1::SavedModule& module : saved->modules) {
    if (!runs(module.state())) continue;
    const auto here =
        std::find_if(modules->modules().begin(), modules->modules().end(),
                     [&](const auto& other) { return other.name() == module.name(); });
    const bool installed = here != modules->modules().end();
    if (installed && runs(here->state())) continue;
    v1::MissingModule* missing = response->add_missing_modules();
    missing->set_name(module.name());
    missing->set_version(module.version());
    missing->set_how(
        (installed ? std::string()
                   : "install " + file_name(module) + " in a folder of host.module_path, then ") +
        "`imctl module enable " + module.name() + "`");
  }
  co_return Status();
}

}  // namespace imctl::backup
