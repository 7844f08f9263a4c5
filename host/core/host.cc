#include "core/host.h"

#include <google/protobuf/stubs/logging.h>
#include <google/protobuf/util/json_util.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <utility>

#include "builtin/builtin.h"
#include "core/module_loader.h"
#include "core/tree.h"
#include "link/isolated_code.h"
#include "road/abi_code.h"
#include "road/call.h"

namespace imctl::host {
namespace {

// The host's own module describes the host's own settings.
Result<std::shared_ptr<const Description>> describe_builtin() {
  auto builtin = std::make_shared<Description>();
  builtin->file.manifest_bytes = builtin_manifest();
  Result<Manifest> manifest = parse_manifest(builtin->file.manifest_bytes);
  if (!manifest.ok()) return manifest.status();
  builtin->file.manifest = std::move(*manifest);
  Result<std::shared_ptr<Descriptors>> descriptors = Descriptors::make(builtin->manifest());
  if (!descriptors.ok()) return descriptors.status();
  builtin->descriptors = std::move(*descriptors);
  drop_files(&builtin->file.manifest);
  return std::shared_ptr<const Description>(std::move(builtin));
}

Result<std::unique_ptr<google::protobuf::Message>> message_of(const Instance& instance,
                                                              std::string_view type) {
  const Descriptors& descriptors = *instance.description().descriptors;
  std::string name(type);
  const google::protobuf::Descriptor* descriptor = descriptors.message(name);
  if (descriptor == nullptr) {
    return Status(IMCTL_NOT_FOUND, "the module's descriptors have no message " + name);
  }
  return descriptors.make_message(descriptor);
}

}  // namespace

Host::Host(HostOptions options)
    : options_(std::move(options)),
      modules_(this, [this](const std::shared_ptr<const Description>& description) {
        return make_code(description);
      }) {}

Host::~Host() {
  if (!stopped_) (void)stop();
  timer().stop();  // its tasks use what goes now
  if (!modules_.is_stuck()) return;
  // Code of a module still runs and would call what is taken away here. What matters is durable.
  log_.reset();
  _exit(EXIT_FAILURE);
}

Result<std::unique_ptr<Host>> Host::open(HostOptions options) {
  std::unique_ptr<Host> host(new Host(std::move(options)));
  Status status = host->start();
  if (!status.ok()) return status;
  return host;
}

Status Host::start() {
  // Protobuf would print a line of its own for each request that is no valid message.
  google::protobuf::SetLogHandler(nullptr);
  Result<std::shared_ptr<const Description>> builtin = describe_builtin();
  if (!builtin.ok()) return builtin.status();
  builtin_ = std::move(*builtin);
  Result<SettingsSources> sources =
      SettingsSources::load(options_.config_file, options_.set, options_.environment);
  if (!sources.ok()) return sources.status();
  Result<HostConfig> config =
      read_host_config(*sources, *builtin_->descriptors, options_.environment);
  if (!config.ok()) return config.status();
  config_ = std::move(*config);
  log_ = std::make_unique<Log>(IMCTL_LOG_INFO);
  log_->count_dropped(metrics().get(IMCTL_COUNTER, "imctl_log_dropped_lines_total", "",
                                    "Lines that were not logged because there were too many"));
  log_->levels().on_change([this] { log_levels_changed(); });
  audit_ = std::make_unique<AuditLog>(config_.data + "/host/audit", &metrics(),
                                      [this](imctl_log_level level, const std::string& text) {
                                        Road::log(level, "host", nullptr, text);
                                      });
  Status logs = apply(config_.live);
  if (!logs.ok()) return logs;

  // Nothing of a module's code runs before all of this holds.
  Result<Plan> wanted = plan({});
  if (!wanted.ok()) return wanted.status();
  Status status = data_lock_.take(config_.data);
  if (!status.ok()) return status;
  std::string config_file =
      options_.config_file.empty() ? options_.new_config_file : options_.config_file;
  if (config_file.empty()) config_file = config_.data + "/imctl.conf";
  auto settings = SettingsStore::open(config_file, config_.data + "/host/settings");
  if (!settings.ok()) return settings.status();
  settings_ = std::move(*settings);
  std::error_code ignored;  // copies that a killed host left
  std::filesystem::remove_all(config_.data + "/host/loaded", ignored);
  audit_->start(own_record(AuditRecord::kStart));
  auto started = modules_.apply(*wanted);
  if (!started.ok()) return started.status();
  settings_admin_.started(*wanted);
  if (options_.remote_hosts != nullptr) {
    options_.remote_hosts->on_changed(
        [this](const std::string& address) { module_admin_.refresh_remote(address); });
  }
  health_.set("", true);
  return {};
}

Result<Plan> Host::plan(const PlanOptions& options) const {
  // One that was made since the host started counts too.
  std::string path = settings_ == nullptr ? options_.config_file : settings_->file();
  std::string content;
  if (options.content != nullptr) {
    content = *options.content;
  } else if (settings_ != nullptr) {
    Result<std::string> read = settings_->read();
    if (!read.ok()) return read.status();
    content = std::move(*read);
  }
  Result<SettingsSources> loaded =
      options.content == nullptr && settings_ == nullptr
          ? SettingsSources::load(path, options_.set, options_.environment)
          : SettingsSources::load_content(options.name.empty() ? path : options.name, content,
                                          options_.set, options_.environment);
  if (!loaded.ok()) return loaded.status();
  auto sources = std::make_shared<SettingsSources>(std::move(*loaded));
  Result<HostConfig> config =
      read_host_config(*sources, *builtin_->descriptors, options_.environment);
  if (!config.ok()) return config.status();
  DescribeRemote describe_remote;
  if (options_.remote_hosts != nullptr) {
    // How this host proves itself does not change while it runs.
    Status status = settings_ == nullptr ? options_.remote_hosts->configure(config->remote)
                                         : options_.remote_hosts->check(config->remote);
    if (!status.ok()) return status;
    describe_remote = [this, &options](const std::string& address,
                                       const std::vector<std::string>& services) {
      return options.ask_others ? options_.remote_hosts->describe(address, services)
                                : as_known(address);
    };
  }
  Result<Plan> plan = make_plan(*sources, *config, builtin_, describe_remote);
  if (plan.ok()) plan->sources = std::move(sources);
  return plan;
}

std::shared_ptr<const Description> Host::as_known(const std::string& address) const {
  if (std::shared_ptr<Instance> running = find_module(address)) return running->settings();
  auto unknown = std::make_shared<Description>();
  unknown->remote = address;
  unknown->file.manifest.set_name(address);
  unknown->descriptors = builtin_->descriptors;
  return unknown;
}

LiveConfig Host::live() const {
  std::lock_guard lock(live_mutex_);
  return live_;
}

Status Host::apply(const LiveConfig& live) {
  std::unique_lock lock(live_mutex_);
  if (!(live.log == live_.log)) {
    Status status = log_->configure(live.log);
    if (!status.ok()) return status;
  }
  log_->levels().set_base(options_.quiet ? std::max(live.log_level, IMCTL_LOG_WARN)
                                         : live.log_level);
  audit_->configure(live.audit);
  bounds.max_depth = live.max_depth;
  bounds.max_in_flight = live.max_in_flight;
  live_ = live;
  lock.unlock();
  // Streams that are open may end of it, and whoever waits for that goes on here.
  if (access_.rules() != live.access) access_.set_rules(live.access);
  return {};
}

Result<std::unique_ptr<ModuleCode>> Host::make_code(
    const std::shared_ptr<const Description>& description) {
  if (description->is_builtin()) return make_abi_code(nullptr, builtin_module());
  if (!description->remote.empty()) return options_.remote_hosts->make_code(description);
  Result<LoadableFile> file =
      make_loadable(description->file, config_.data + "/host/loaded", config_.trust);
  if (!file.ok()) return file.status();
  const std::string& path = description->file.path;
  if (!file->is_copy()) {
    log_->warn(path + ": there is no room for a private copy in " + config_.data +
               ": do not overwrite the file while this host runs");
  }
  if (description->isolated) {
    auto keeper = std::make_shared<LoadableFile>(std::move(*file));
    return make_isolated_code(
        {keeper->path(), keeper, runner_path(), description->section.process});
  }
  Result<LoadedCode> code =
      load_code(std::move(*file), path, [this](const std::string& text) { log_->error(text); });
  if (!code.ok()) return code.status();
  return make_abi_code(std::move(code->code), code->module);
}

Status Host::stop() {
  stopped_ = true;
  if (options_.remote_hosts != nullptr) options_.remote_hosts->on_changed({});
  health_.set("", false);
  Status status = modules_.stop(std::chrono::steady_clock::now() + live().stop_timeout);
  if (!modules_.is_stuck()) addressed_.stop();
  if (audit_ != nullptr) audit_->stop(own_record(AuditRecord::kStop));
  if (!modules_.is_stuck()) data_lock_.release();
  return status;
}

std::shared_ptr<Instance> Host::find_module(std::string_view name) const {
  for (auto view = modules_.view(); const std::shared_ptr<Instance>& module : view->modules) {
    if (module->name() == name) return module;
  }
  return nullptr;
}

void Host::write_log(imctl_log_level level, std::string_view module, const Call* call,
                     std::string_view text) {
  if (call == nullptr) {
    log_->write(level, module, {}, {}, text);
  } else {
    log_->write(level, module, call->params().call_id, call->params().principal, text);
  }
}

const std::atomic<int32_t>& Host::log_level(std::string_view module) {
  return log_->levels().cell(module);
}

void Host::set_log_level(const std::string& module, imctl_log_level level,
                         std::optional<std::chrono::nanoseconds> time) {
  std::optional<LogLevels::Clock::time_point> until;
  if (time) {
    until = LogLevels::Clock::now() + std::chrono::duration_cast<LogLevels::Clock::duration>(*time);
  }
  uint64_t number = log_->levels().set(module, level, until);
  if (!time) return;
  timer().at(monotonic_now() + time->count(),
             [this, module, number] { log_->levels().fall_back(module, number); });
}

void Host::log_levels_changed() {
  set_logs_calls(log_->levels().enabled(IMCTL_LOG_DEBUG, "host"));
  for (auto view = modules_.view(); const std::shared_ptr<Instance>& module : view->modules) {
    module->log_level_changed();
  }
}

void Host::health_changed(Instance& instance) {
  modules_.health_changed();
  if (find_module(instance.name()).get() != &instance) return;  // not yet, or not any more
  bool serving = instance.is_serving();
  std::shared_ptr<const Modules::View> view = modules_.view();
  for (const std::string& service : manifest_of(instance).serves()) {
    auto provider = view->providers.find(service);
    if (provider != view->providers.end() && provider->second == instance.name()) {
      health_.set(service, serving);
    }
  }
  if (serving) {
    log_->info("module " + instance.name() + " serves again");
  } else {
    log_->warn("module " + instance.name() + " cannot do its work: " + instance.health_reason());
  }
}

Result<BufferRef> Host::to_json(const Instance& instance, std::string_view type,
                                std::string_view message) {
  auto parsed = message_of(instance, type);
  if (!parsed.ok()) return parsed.status();
  if (!(*parsed)->ParseFromArray(message.data(), static_cast<int>(message.size()))) {
    return Status(IMCTL_INVALID_ARGUMENT, "not a valid " + (*parsed)->GetTypeName());
  }
  google::protobuf::util::JsonPrintOptions options;
  options.preserve_proto_field_names = true;
  std::string json;
  auto status = google::protobuf::util::MessageToJsonString(**parsed, &json, options);
  if (!status.ok()) return Status(IMCTL_INVALID_ARGUMENT, status.ToString());
  return BufferRef::copy_of(json);
}

Result<BufferRef> Host::from_json(const Instance& instance, std::string_view type,
                                  std::string_view json) {
  auto message = message_of(instance, type);
  if (!message.ok()) return message.status();
  auto status = google::protobuf::util::JsonStringToMessage(std::string(json), message->get());
  if (!status.ok()) return Status(IMCTL_INVALID_ARGUMENT, status.ToString());
  return BufferRef::copy_of((*message)->SerializeAsString());
}

AuditRecord Host::own_record(const char* kind) const {
  AuditRecord record;
  record.time = std::chrono::system_clock::now();
  record.kind = kind;
  record.user = "host";
  Tree what = Tree::object();
  what.add("version", Tree::string(IMCTL_VERSION));
  what.add("pid", Tree::literal(std::to_string(::getpid())));
  record.what = host::to_json(what, false);
  return record;
}

void Host::doubt_after(const Route& route, const Status& status) {
  // What is public takes no right from anybody.
  if (!status.ok() || route.served->info.access == Access::kPublic) return;
  const std::shared_ptr<const Modules::View> view = modules_.view();
  const auto provider = view->providers.find("imctl.auth.v1.Authenticator");
  if (provider != view->providers.end() && provider->second == route.instance->name()) {
    access_.doubt_all();
  }
}

void Host::audit_end(const CallParams& params, const Route& route, std::string_view request,
                     const Status& status) {
  doubt_after(route, status);
  AuditRecord record = audit_record(AuditRecord::kCall, params, status);
  record.what = audit_requests_.text(route, request);
  // What strangers and users can repeat without end, until what is older is gone. That it went well
  // takes a change.
  const bool refused = status.code() == IMCTL_UNAUTHENTICATED ||
                       status.code() == IMCTL_PERMISSION_DENIED ||
                       (params.principal_kind != IMCTL_PRINCIPAL_ADMIN && !status.ok());
  if (refused) {
    audit_->refuse(std::move(record));
  } else {
    audit_->add(std::move(record));
  }
}

void Host::audit_refusal(const CallParams& params, const Status& status) {
  audit_->refuse(audit_record(AuditRecord::kRefusal, params, status));
}

Status Host::not_served(std::string_view method) const {
  if (const size_t at = method.find('@'); at != std::string_view::npos) {
    const std::string address(method.substr(at + 1));
    if (is_remote_address(address)) return addressed_.not_served(method);
    return {IMCTL_UNIMPLEMENTED,
            "there is no module " + address + " that runs in this host and serves " +
                std::string(method.substr(0, at)) + ": `imctl module list` shows those that run, " +
                "`imctl module enable " + address + "` starts one that is installed"};
  }
  std::string_view service = method.substr(std::min<size_t>(1, method.size()));
  service = service.substr(0, service.find('/'));
  std::shared_ptr<const Modules::View> view = modules_.view();
  auto provider = view->providers.find(std::string(service));
  std::string name(method.substr(0, 200));
  if (provider != view->providers.end() && is_remote_address(provider->second)) {
    std::shared_ptr<Instance> remote = find_module(provider->second);
    if (remote != nullptr &&
        remote->description().descriptors->service(std::string(service)) == nullptr) {
      return {IMCTL_UNAVAILABLE, name + " is bound to " + provider->second +
                                     ", which was not reached yet: " + remote->health_reason()};
    }
  }
  return {IMCTL_UNIMPLEMENTED,
          "no loaded module serves " + name + " (`imctl module list` shows what is served)"};
}

const void* Host::extra_table(const Instance& instance, std::string_view name) {
  return name == kBuiltinTable && instance.description().is_builtin() ? this : nullptr;
}

}  // namespace imctl::host
