#include "testing/module_host.h"

#include <stdlib.h>

#include <cerrno>
#include <filesystem>
#include <fstream>
#include <system_error>

#include "core/module_loader.h"
#include "road/rules.h"

namespace imctl::host {
namespace {

namespace fs = std::filesystem;

constexpr const char* kStore = "imctl.storage.v1.Records";

std::string join(const std::vector<std::string>& words) {
  std::string text;
  for (const std::string& word : words) text.append(text.empty() ? "" : ",").append(word);
  return text;
}

// The back end that needs no server.
Result<std::string> storage_module() {
  const std::map<std::string, Manifest> providers = installed_providers();
  const auto store = providers.find(kStore);
  if (store != providers.end()) return store->second.name();
  return Status(IMCTL_NOT_FOUND, "none of the modules in " + join(default_module_path()) +
                                     " serves " + kStore +
                                     " by itself: is imctl installed as a whole?");
}

bool is_mapped(const std::string& folder) {
  std::ifstream maps("/proc/self/maps");
  for (std::string line; std::getline(maps, line);) {
    if (line.find(folder) != std::string::npos) return true;
  }
  return false;
}

}  // namespace

std::map<std::string, Manifest> installed_providers() {
  std::map<std::string, Manifest> providers;
  for (const auto& [name, path] : installed_modules(default_module_path())) {
    Result<ModuleFile> file = read_module_file(path);
    if (!file.ok() || file->manifest.opt_in()) continue;
    for (const std::string& service : file->manifest.serves()) {
      providers.emplace(service, file->manifest);
    }
  }
  return providers;
}

Result<TemporaryFolder> TemporaryFolder::make(const std::string& parent) {
  std::string pattern = parent + "/imctl-test-XXXXXX";
  if (::mkdtemp(pattern.data()) == nullptr) {
    return Status(IMCTL_FAILED_PRECONDITION, "no temporary folder can be made in " + parent + ": " +
                                                 std::generic_category().message(errno));
  }
  return TemporaryFolder(pattern);
}

TemporaryFolder::~TemporaryFolder() {
  std::error_code ignored;
  if (!path_.empty()) fs::remove_all(path_, ignored);
}

Result<std::unique_ptr<ModuleHost>> ModuleHost::open(const Options& options) {
  std::unique_ptr<ModuleHost> made(new ModuleHost());
  std::string folder = options.folder;
  if (folder.empty()) {
    Result<TemporaryFolder> temporary = TemporaryFolder::make(
        options.store == Store::kMemory ? "/dev/shm" : fs::temp_directory_path().string());
    if (!temporary.ok()) return temporary.status();
    made->folder_ = std::move(*temporary);
    folder = made->folder_->path();
  }
  HostOptions host;
  host.quiet = true;
  std::vector<std::string> names;
  if (options.store != Store::kNone) {
    Result<std::string> storage = storage_module();
    if (!storage.ok()) return storage.status();
    names.push_back(std::move(*storage));
  }
  for (const std::string& module : options.modules) {
    if (module.find('/') == std::string::npos) {
      names.push_back(module);
      continue;
    }
    Result<ModuleFile> file = read_module_file(module);
    if (!file.ok()) return file.status();
    const std::string& name = file->manifest.name();
    names.push_back(name);
    made->under_test_.push_back(name);
    host.set.push_back(name + ".file=" + fs::absolute(module).string());
    host.set.push_back(name + ".isolate=" + (options.isolate ? "process" : "no"));
  }
  host.set.push_back("host.data=" + folder);
  host.set.push_back("host.modules=" + join(names));
  host.set.emplace_back("host.swap_watch=0s");
  host.set.insert(host.set.end(), options.settings.begin(), options.settings.end());
  Result<std::unique_ptr<Host>> opened = Host::open(host);
  if (!opened.ok()) return opened.status();
  made->host_ = std::move(*opened);
  return made;
}

std::unique_ptr<WaitingCall> ModuleHost::start(const std::string& method,
                                               const std::optional<std::string>& request,
                                               CallParams params) {
  params.target = host_->methods().slot(method);
  if (request) params.request = BufferRef::copy_of(*request);
  auto call = std::make_unique<WaitingCall>(host_->dispatcher(), std::move(params));
  call->start();
  return call;
}

Status ModuleHost::reload(const std::string& module) {
  if (host_->find_module(module) == nullptr) {
    return {IMCTL_NOT_FOUND, "no module " + module + " runs in this host"};
  }
  Result<Plan> plan = host_->plan({});
  if (!plan.ok()) return plan.status();
  auto turn = host_->take_turn();
  return host_->modules().apply(*plan, {module}, {module}).status();
}

std::vector<std::string> ModuleHost::logged(const std::string& text) const {
  constexpr size_t kPage = 1000;
  std::vector<std::string> found;
  std::vector<LogRing::Record> lines;
  uint64_t from = 0;
  do {
    lines.clear();
    host_->log().ring().read(&from, kPage, &lines);
    for (const LogRing::Record& line : lines) {
      if (line->text.find(text) != std::string::npos) found.push_back(line->text);
    }
  } while (!lines.empty());
  return found;
}

Status ModuleHost::close() {
  std::string loaded = host_->config().data + "/host/loaded/";
  Status status = host_->stop();
  if (status.ok() && is_mapped(loaded)) {
    status = Status(IMCTL_FAILED_PRECONDITION,
                    "a module's code is still mapped" + named(Rule::kUnmapped));
  }
  return status;
}

}  // namespace imctl::host
