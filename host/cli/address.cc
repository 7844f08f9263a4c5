#include "cli/address.h"

#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>

#include "cli/text.h"
#include "core/settings_file.h"

namespace imctl::host::cli {
namespace {

// A base folder of the XDG specification.
std::string xdg(const char* variable, const char* below_home) {
  std::string base = env(variable);
  if (!base.empty() && base.front() == '/') return base;
  return env("HOME") + below_home;
}

bool readable(const std::string& path) { return ::access(path.c_str(), R_OK) == 0; }

bool is_socket(const std::string& path) {
  struct stat found {};
  return ::stat(path.c_str(), &found) == 0 && S_ISSOCK(found.st_mode);
}

bool is_port(std::string_view text) {
  return !text.empty() && text.size() <= 5 &&
         std::all_of(text.begin(), text.end(), [](char c) { return c >= '0' && c <= '9'; });
}

// The few settings of [host] that say where it is.
struct HostSection {
  std::string socket;
  std::string data;
  std::string listen;
};

Result<HostSection> read_host_section(const std::string& file) {
  HostSection host;
  if (!file.empty()) {
    Result<SettingsFile> settings = read_settings_file(file);
    if (!settings.ok()) return settings.status();
    for (const SettingsFile::Entry& entry : settings->entries) {
      if (entry.section != "host") continue;
      if (entry.key == "socket") host.socket = entry.text;
      if (entry.key == "data") host.data = entry.text;
      if (entry.key == "listen") host.listen = entry.text;
    }
  }
  auto override_by = [](const char* variable, std::string* value) {
    std::string text = env(variable);
    if (!text.empty()) *value = text;
  };
  override_by("IMCTL_HOST__SOCKET", &host.socket);
  override_by("IMCTL_HOST__DATA", &host.data);
  override_by("API_PORT", &host.listen);
  override_by("IMCTL_HOST__LISTEN", &host.listen);
  return host;
}

}  // namespace

std::string config_file(const std::string& named) {
  if (!named.empty()) return named;
  std::string from_env = env("IMCTL_CONFIG");
  if (!from_env.empty()) return from_env;
  for (const std::string& path : {new_config_file(), std::string("/etc/imctl/imctl.conf")}) {
    if (readable(path)) return path;
  }
  return {};
}

std::string new_config_file() { return xdg("XDG_CONFIG_HOME", "/.config") + "/imctl/imctl.conf"; }

Result<std::string> normal_address(const std::string& text) {
  if (text.starts_with("unix:")) return text;
  for (const std::string scheme : {"grpc://", "grpcs://"}) {
    if (!text.starts_with(scheme)) continue;
    Result<std::string> rest = normal_address(text.substr(scheme.size()));
    if (!rest.ok()) return rest;
    return scheme == "grpcs://" ? scheme + *rest : *rest;
  }
  if (text.starts_with('/') || text.starts_with("./")) return "unix:" + text;
  if (is_port(text)) return "127.0.0.1:" + text;
  if (text.starts_with(':') && is_port(text.substr(1))) return "127.0.0.1" + text;
  size_t colon = text.rfind(':');
  if (colon == std::string::npos || !is_port(text.substr(colon + 1)) ||
      text.find('/') != std::string::npos) {
    return Status(IMCTL_INVALID_ARGUMENT,
                  "'" + text +
                      "' is not an address: write it like unix:/run/imctl/imctl.sock or "
                      "127.0.0.1:50051");
  }
  return text;
}

Result<std::string> default_address(const std::string& named_config) {
  Result<HostSection> host = read_host_section(config_file(named_config));
  if (!host.ok()) return host.status();
  if (host->data.empty()) host->data = xdg("XDG_DATA_HOME", "/.local/share") + "/imctl";
  if (host->socket.empty()) host->socket = host->data + "/imctl.sock";
  if (host->socket != "none" && is_socket(host->socket)) return "unix:" + host->socket;
  std::string first = host->listen.substr(0, host->listen.find(','));
  while (!first.empty() && first.back() == ' ') first.pop_back();
  if (first.empty() || first == "none") first = "127.0.0.1:50051";
  return normal_address(first);
}

}  // namespace imctl::host::cli
