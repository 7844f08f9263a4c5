#include "core/host_config.h"

#include <algorithm>
#include <filesystem>

#include "core/config_fields.h"
#include "core/log.h"
#include "core/module_loader.h"

namespace imctl::host {
namespace {

std::string variable(const Environment& environment, const char* name) {
  auto at = environment.find(name);
  return at == environment.end() ? std::string() : at->second;
}

bool is_port(const std::string& text) {
  return !text.empty() && text.size() <= 5 &&
         std::all_of(text.begin(), text.end(), [](char c) { return c >= '0' && c <= '9'; }) &&
         std::stoi(text) <= 65535;
}

// "HOST:PORT", or a port of 127.0.0.1; comma-separated.
Result<std::vector<std::string>> parse_listen(const std::string& text, const std::string& origin) {
  std::vector<std::string> all;
  if (text == "none") return all;
  for (size_t from = 0; from <= text.size();) {
    size_t to = std::min(text.find(',', from), text.size());
    std::string one = text.substr(from, to - from);
    one.erase(0, one.find_first_not_of(' '));
    one.erase(one.find_last_not_of(' ') + 1);
    from = to + 1;
    if (is_port(one)) one = "127.0.0.1:" + one;
    size_t colon = one.rfind(':');
    if (colon == std::string::npos || colon == 0 || !is_port(one.substr(colon + 1))) {
      return Status(IMCTL_INVALID_ARGUMENT,
                    origin + ": '" + one + "' is not HOST:PORT, a port of 127.0.0.1, or none");
    }
    all.push_back(one);
  }
  return all;
}

// Section [bind] but for its services, and section [nodes].
Result<HostConfig> read_bind(SettingsSources& sources, const Descriptors& builtin,
                             HostConfig* config) {
  Result<Section> section = sources.section("bind", {builtin.message("imctl.host.v1.BindConfig")});
  if (!section.ok()) return section.status();
  ConfigFields fields(*section->messages[0]);
  RemoteSettings& remote = config->remote;
  remote.node = fields.text("node");
  remote.node_key = fields.text("node_key");
  remote.tls_ca = fields.text("tls_ca");
  remote.tls_cert = fields.text("tls_cert");
  remote.tls_key = fields.text("tls_key");
  remote.cache = config->data + "/host/remote";
  const bool proved = !remote.node_key.empty() || !remote.tls_cert.empty();
  if (remote.node.empty() ? !remote.node_key.empty() : !proved) {
    return Status(IMCTL_INVALID_ARGUMENT,
                  section->origin("node") +
                      ": a node's name, bind.node, goes with what proves it: its key, "
                      "bind.node_key, or a certificate, bind.tls_cert and bind.tls_key");
  }
  if (remote.tls_cert.empty() != remote.tls_key.empty()) {
    return Status(IMCTL_INVALID_ARGUMENT,
                  section->origin("tls_cert") + ": bind.tls_cert and bind.tls_key go together");
  }
  config->values["bind"] = section->values;
  Result<std::vector<FreeSetting>> nodes = sources.free_settings("nodes", FreeKeys::kAll);
  if (!nodes.ok()) return nodes.status();
  for (const FreeSetting& node : *nodes) {
    constexpr size_t kHexDigits = 64;
    bool is_digest = node.text.rfind("sha256:", 0) == 0 && node.text.size() == 7 + kHexDigits &&
                     node.text.find_first_not_of("0123456789abcdef", 7) == std::string::npos;
    if (!is_digest) {
      return Status(IMCTL_INVALID_ARGUMENT,
                    node.origin("nodes") +
                        ": is not sha256: and the 64 hexadecimal digits of the "
                        "node's key's digest (printf %s KEY | sha256sum)");
    }
    config->nodes[node.key] = node.text.substr(7);
    config->values["nodes"].push_back(node.value("nodes"));
  }
  return std::move(*config);
}

}  // namespace

bool is_own_section(const std::string& section) {
  return section == "host" || section == "bind" || has_free_keys(section);
}

bool has_free_keys(const std::string& section) {
  return section == "nodes" || section == "roles" || section == "certificates";
}

std::string default_data_dir(const Environment& environment) {
  std::string base = variable(environment, "XDG_DATA_HOME");
  if (base.empty()) base = variable(environment, "HOME") + "/.local/share";
  return base + "/imctl";
}

Result<HostConfig> read_host_config(SettingsSources& sources, const Descriptors& builtin,
                                    const Environment& environment) {
  Result<Section> section = sources.section("host", {builtin.message("imctl.host.v1.Config")});
  if (!section.ok()) return section.status();
  ConfigFields fields(*section->messages[0]);
  HostConfig config;
  Result<std::vector<std::string>> listen =
      parse_listen(fields.text("listen"), section->origin("listen"));
  if (!listen.ok()) return listen.status();
  config.listen = std::move(*listen);
  config.data = fields.text("data");
  if (config.data.empty()) config.data = default_data_dir(environment);
  config.data = std::filesystem::absolute(config.data).lexically_normal().string();
  config.socket = fields.text("socket");
  if (config.socket.empty()) {
    config.socket = config.data + "/imctl.sock";
  } else if (config.socket == "none") {
    config.socket.clear();
  }
  config.domain = fields.text("domain");
  config.auth_none = fields.text("auth") == "none";
  config.plaintext = fields.choice("plaintext").value_or(false);
  config.tls_cert = fields.text("tls_cert");
  config.tls_key = fields.text("tls_key");
  config.tls_client_ca = fields.text("tls_client_ca");
  if (config.tls_cert.empty() != config.tls_key.empty()) {
    return Status(IMCTL_INVALID_ARGUMENT,
                  section->origin("tls_cert") + ": host.tls_cert and host.tls_key go together");
  }
  if (config.tls_cert.empty() && !config.tls_client_ca.empty()) {
    return Status(IMCTL_INVALID_ARGUMENT, section->origin("tls_client_ca") +
                                              ": is of use with host.tls_cert and host.tls_key");
  }
  config.socket_mode = static_cast<uint32_t>(std::stoul(fields.text("socket_mode"), nullptr, 8));
  config.modules = fields.list("modules");
  config.modules_origin = section->origin("modules");
  config.module_path = fields.list("module_path");
  if (config.module_path.empty()) config.module_path = default_module_path();
  std::optional<imctl_log_level> level = parse_log_level(fields.text("log_level"));
  if (!level) {
    return Status(IMCTL_INVALID_ARGUMENT, section->origin("log_level") + ": '" +
                                              fields.text("log_level") + "' is no level");
  }
  config.live.log_level = *level;
  config.max_request = fields.u64("max_request");
  config.live.max_in_flight =
      static_cast<int64_t>(std::min<uint64_t>(fields.u64("max_in_flight"), INT64_MAX));
  config.live.stop_timeout = fields.duration("stop_timeout");
  config.live.max_depth = fields.u32("max_depth");
  config.live.swap_timeout = fields.duration("swap_timeout");
  config.live.swap_watch = fields.duration("swap_watch");
  config.live.swap_hold_bytes = fields.u64("swap_hold_bytes");
  LogOptions& log = config.live.log;
  log.format = fields.text("log_format") == "json" ? LogFormat::kJson : LogFormat::kText;
  log.file = fields.text("log_file");
  log.file_size = fields.u64("log_file_size");
  log.file_count = fields.u32("log_file_count");
  log.memory = fields.u64("log_memory");
  config.live.audit = {fields.u64("audit_file_size"), fields.u32("audit_files")};
  Result<TrustPolicy> trust =
      TrustPolicy::make(fields.text("module_signatures") == "require", fields.list("module_keys"));
  if (!trust.ok()) {
    return Status(trust.status().code(),
                  section->origin("module_keys") + ": " + trust.status().message());
  }
  config.trust = std::move(*trust);
  config.values["host"] = section->values;
  Result<AccessRules> access = read_access_rules(sources, &config.values);
  if (!access.ok()) return access.status();
  config.live.access = std::make_shared<const AccessRules>(std::move(*access));
  return read_bind(sources, builtin, &config);
}

}  // namespace imctl::host
