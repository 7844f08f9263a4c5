// The host's own settings, typed.
#ifndef IMCTL_HOST_CORE_HOST_CONFIG_H
#define IMCTL_HOST_CORE_HOST_CONFIG_H

#include <chrono>
#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "core/access_rules.h"
#include "core/audit_files.h"
#include "core/descriptors.h"
#include "core/log.h"
#include "core/module_trust.h"
#include "core/remote_hosts.h"
#include "core/settings.h"
#include "imctl/module.h"
#include "imctl/status.h"

namespace imctl::host {

// What of the host's own sections can be changed while it runs.
struct LiveConfig {
  std::shared_ptr<const AccessRules> access;  // sections [roles] and [certificates]
  imctl_log_level log_level = IMCTL_LOG_INFO;
  LogOptions log;
  AuditOptions audit;
  int64_t max_in_flight = 0;
  std::chrono::nanoseconds stop_timeout{};
  uint32_t max_depth = 0;
  std::chrono::nanoseconds swap_timeout{};
  std::chrono::nanoseconds swap_watch{};
  size_t swap_hold_bytes = 0;
};

// The settings of a section, by key.
using SectionValues = std::vector<SettingValue>;

// Section [host] as the host started with it.
struct HostConfig {
  std::vector<std::string> listen;  // HOST:PORT
  std::string socket;               // empty: none
  std::string data;
  std::string domain;
  bool auth_none = false;
  bool plaintext = false;  // tokens may come over TCP unencrypted from other machines
  std::string tls_cert;    // files in PEM; empty: no TLS
  std::string tls_key;
  std::string tls_client_ca;  // empty: callers show no certificates
  uint32_t socket_mode = 0;
  std::vector<std::string> modules;
  std::string modules_origin;  // who says so: "imctl.conf:12: host.modules"
  std::vector<std::string> module_path;
  size_t max_request = 0;
  LiveConfig live;
  TrustPolicy trust;                         // which module files are loaded
  RemoteSettings remote;                     // section [bind], but for the services
  std::map<std::string, std::string> nodes;  // section [nodes]: SHA-256 of each one's key, in hex
  std::map<std::string, SectionValues> values;  // of its own sections
};

// The sections that are the host's own, and whether their keys are free.
bool is_own_section(const std::string& section);
bool has_free_keys(const std::string& section);

using Environment = std::map<std::string, std::string>;

// $XDG_DATA_HOME/imctl, ~/.local/share/imctl.
std::string default_data_dir(const Environment& environment);

// Section [host]; `builtin` has its message. Errors say which setting, why, and what to do.
Result<HostConfig> read_host_config(SettingsSources& sources, const Descriptors& builtin,
                                    const Environment& environment);

}  // namespace imctl::host

#endif  // IMCTL_HOST_CORE_HOST_CONFIG_H
