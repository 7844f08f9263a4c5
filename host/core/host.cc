#include "core/host.h"

#include <google/protobuf/stubs/logging.h>
#include <openssl/evp.h>
#include <unistd.h>

#include <array>
#include <cstdlib>
#include <filesystem>
#include <set>
#include <utility>

#include "builtin/builtin.h"
#include "core/host_config.h"
#include "core/module_loader.h"
#include "imctl/options.pb.h"

namespace imctl::host {
namespace {

std::string digest_of(const std::vector<std::shared_ptr<Instance>>& modules) {
  std::unique_ptr<EVP_MD_CTX, decltype(&EVP_MD_CTX_free)> hash(EVP_MD_CTX_new(), EVP_MD_CTX_free);
  EVP_DigestInit_ex(hash.get(), EVP_sha256(), nullptr);
  for (const auto& module : modules) {
    const std::string& bytes = module->file().manifest_bytes;
    EVP_DigestUpdate(hash.get(), bytes.data(), bytes.size());
  }
  std::array<unsigned char, EVP_MAX_MD_SIZE> digest{};
  unsigned int size = 0;
  EVP_DigestFinal_ex(hash.get(), digest.data(), &size);
  static constexpr char kHex[] = "0123456789abcdef";
  std::string text;
  for (unsigned int i = 0; i < size; ++i) {
    text += kHex[digest[i] >> 4];
    text += kHex[digest[i] & 15];
  }
  return text;
}

// The verbs of a module's served methods, by path.
Status check_verbs(const Instance& instance, std::map<std::string, std::string>* verbs) {
  for (const Served& served : instance.served()) {
    const Verb& verb = served.info.descriptor->options().GetExtension(imctl::verb);
    if (verb.path().empty()) continue;
    auto [at, fresh] = verbs->emplace(verb.path(), instance.name());
    if (!fresh) {
      return {IMCTL_FAILED_PRECONDITION, "modules " + at->second + " and " + instance.name() +
                                             " both have the verb '" + verb.path() +
                                             "': leave one out of host.modules"};
    }
  }
  return {};
}

}  // namespace

Host::Host() = default;

Host::~Host() {
  if (!stopped_) (void)stop();
  if (!stuck_) return;
  // Code of a module still runs and would call what is taken away here. What matters is durable.
  log_.reset();
  _exit(EXIT_FAILURE);
}

Result<std::unique_ptr<Host>> Host::open(const HostOptions& options) {
  std::unique_ptr<Host> host(new Host());
  Status status = host->start(options);
  if (!status.ok()) return status;
  return host;
}

Status Host::start(const HostOptions& options) {
  // Protobuf would print a line of its own for each request that is no valid message.
  google::protobuf::SetLogHandler(nullptr);
  Result<SettingsSources> sources =
      SettingsSources::load(options.config_file, options.set, options.environment);
  if (!sources.ok()) return sources.status();

  // The host's own module describes the host's own settings.
  ModuleFile builtin;
  builtin.manifest_bytes = builtin_manifest();
  Result<Manifest> manifest = parse_manifest(builtin.manifest_bytes);
  if (!manifest.ok()) return manifest.status();
  builtin.manifest = std::move(*manifest);
  Result<std::shared_ptr<Descriptors>> descriptors = Descriptors::make(builtin.manifest);
  if (!descriptors.ok()) return descriptors.status();
  Result<HostConfig> config = read_host_config(*sources, **descriptors, options.environment);
  if (!config.ok()) return config.status();
  config_ = std::move(*config);
  log_ = std::make_unique<Log>(options.quiet ? std::max(config_.log_level, IMCTL_LOG_WARN)
                                             : config_.log_level);

  // Nothing of a module's code runs before all of this holds.
  Result<std::vector<ModuleFile>> files = find_modules(config_.modules, config_.module_path);
  if (!files.ok()) {
    std::string where = config_.modules.empty() ? std::string() : config_.modules_origin + ": ";
    return {files.status().code(), where + files.status().message()};
  }
  files = order_modules(std::move(*files), builtin.manifest);
  if (!files.ok()) return files.status();
  std::vector<Prepared> prepared;
  prepared.push_back({std::move(builtin), *descriptors, {}, {}});
  for (ModuleFile& file : *files) {
    Result<Prepared> module = describe(*sources, std::move(file), **descriptors);
    if (!module.ok()) return module.status();
    prepared.push_back(std::move(*module));
  }
  Status status = sources->check();
  if (!status.ok()) return status;

  status = data_lock_.take(config_.data);
  if (!status.ok()) return status;
  std::map<std::string, std::string> verbs;
  for (Prepared& module : prepared) {
    status = create(module);
    if (status.ok()) status = check_verbs(*modules_.back(), &verbs);
    if (!status.ok()) return status;
  }
  catalog_digest_ = digest_of(modules_);
  for (const std::shared_ptr<Instance>& instance : modules_) {
    status = activate(instance);
    if (!status.ok()) return status;
  }
  health_.set("", true);
  return {};
}

Result<Host::Prepared> Host::describe(SettingsSources& sources, ModuleFile file,
                                      const Descriptors& builtin) {
  Result<std::shared_ptr<Descriptors>> descriptors = Descriptors::make(file.manifest);
  if (!descriptors.ok()) {
    return Status(descriptors.status().code(), file.path + ": " + descriptors.status().message());
  }
  const google::protobuf::Descriptor* own = nullptr;
  if (!file.manifest.config().empty()) {
    own = (*descriptors)->message(file.manifest.config());
    if (own == nullptr) {
      return Status(IMCTL_FAILED_PRECONDITION, file.path + ": its descriptors have no message " +
                                                   file.manifest.config() +
                                                   ", which its manifest names as its settings");
    }
  }
  Result<Section> section =
      sources.section(file.manifest.name(), {own, builtin.message("imctl.host.v1.ModuleConfig")});
  if (!section.ok()) return section.status();
  Prepared module{std::move(file), std::move(*descriptors), {}, {}};
  if (own != nullptr) module.config = section->messages[0]->SerializeAsString();
  module.limits = read_module_limits(*section->messages[1], module.file.manifest);
  return module;
}

Status Host::create(Prepared& module) {
  LoadedCode code{nullptr, builtin_module()};
  if (!module.file.path.empty()) {
    Result<LoadedCode> loaded = load_code(module.file);
    if (!loaded.ok()) return loaded.status();
    code = std::move(*loaded);
  }
  auto instance =
      std::make_shared<Instance>(this, std::move(module.file), std::move(module.descriptors),
                                 std::move(code.code), code.module, module.limits);
  Status status = instance->create();
  if (!status.ok()) return status;
  std::string data_dir = config_.data + "/" + instance->name();
  std::error_code error;
  std::filesystem::create_directories(data_dir, error);
  if (error) return {IMCTL_FAILED_PRECONDITION, data_dir + ": " + error.message()};
  status = instance->prepare(module.config, data_dir, config_.domain);
  if (!status.ok()) return status;
  modules_.push_back(std::move(instance));
  return {};
}

Status Host::activate(const std::shared_ptr<Instance>& instance) {
  Status status = instance->activate();
  if (!status.ok()) return status;
  for (const Served& served : instance->served()) {
    methods_.slot(served.info.name)
        ->set_route(std::make_shared<const Route>(Route{instance, &served}));
  }
  for (const std::string& service : instance->manifest().serves()) health_.set(service, true);
  return {};
}

Status Host::stop() {
  stopped_ = true;
  health_.set("", false);
  auto until = std::chrono::steady_clock::now() + config_.stop_timeout;
  Status first;
  // Neither the list nor the routes change: calls may still look at them, and a closed gate answers
  // in better words than a method that nobody serves.
  for (size_t i = modules_.size(); i-- > 0;) {
    Instance& instance = *modules_[i];
    for (const std::string& service : instance.manifest().serves()) health_.set(service, false);
    Status status = instance.stop(until);
    if (!status.ok()) {
      log_->error(status.message());
      if (first.ok()) first = status;
    }
    instance.destroy();
    stuck_ = stuck_ || instance.is_stuck();
  }
  if (!stuck_) data_lock_.release();
  return first;
}

Instance* Host::find_module(std::string_view name) const {
  for (const std::shared_ptr<Instance>& module : modules_) {
    if (module->name() == name) return module.get();
  }
  return nullptr;
}

void Host::set_module_health(const Instance& instance, bool serving, std::string_view reason) {
  for (const std::string& service : instance.manifest().serves()) health_.set(service, serving);
  if (serving) {
    log_->info("module " + instance.name() + " serves again");
  } else {
    log_->warn("module " + instance.name() + " cannot do its work: " + std::string(reason));
  }
}

}  // namespace imctl::host
