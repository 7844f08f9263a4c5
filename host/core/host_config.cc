#include "core/host_config.h"

#include <google/protobuf/message.h>

#include <algorithm>
#include <filesystem>

#include "core/log.h"
#include "core/module_loader.h"

namespace imctl::host {
namespace {

using google::protobuf::FieldDescriptor;
using google::protobuf::Message;

// A config message's fields by name. The names are those of host.proto: a wrong one is a bug here.
class Fields {
 public:
  explicit Fields(const Message& message)
      : message_(message), reflection_(*message.GetReflection()) {}

  std::string text(const char* name) const { return reflection_.GetString(message_, field(name)); }
  uint64_t u64(const char* name) const { return reflection_.GetUInt64(message_, field(name)); }
  uint32_t u32(const char* name) const { return reflection_.GetUInt32(message_, field(name)); }
  std::vector<std::string> list(const char* name) const {
    std::vector<std::string> all;
    int size = reflection_.FieldSize(message_, field(name));
    all.reserve(static_cast<size_t>(size));
    for (int i = 0; i < size; ++i) {
      all.push_back(reflection_.GetRepeatedString(message_, field(name), i));
    }
    return all;
  }
  std::chrono::nanoseconds duration(const char* name) const {
    const Message& value = reflection_.GetMessage(message_, field(name));
    const auto* type = value.GetDescriptor();
    return std::chrono::seconds(
               value.GetReflection()->GetInt64(value, type->FindFieldByNumber(1))) +
           std::chrono::nanoseconds(
               value.GetReflection()->GetInt32(value, type->FindFieldByNumber(2)));
  }

 private:
  const FieldDescriptor* field(const char* name) const {
    return message_.GetDescriptor()->FindFieldByName(name);
  }
  const Message& message_;
  const google::protobuf::Reflection& reflection_;
};

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

}  // namespace

std::string default_data_dir(const Environment& environment) {
  std::string base = variable(environment, "XDG_DATA_HOME");
  if (base.empty()) base = variable(environment, "HOME") + "/.local/share";
  return base + "/imctl";
}

Result<HostConfig> read_host_config(SettingsSources& sources, const Descriptors& builtin,
                                    const Environment& environment) {
  Result<Section> section = sources.section("host", {builtin.message("imctl.host.v1.Config")});
  if (!section.ok()) return section.status();
  Fields fields(*section->messages[0]);
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
  config.modules = fields.list("modules");
  config.modules_origin = section->origin("modules");
  config.module_path = fields.list("module_path");
  if (config.module_path.empty()) config.module_path = default_module_path();
  std::optional<imctl_log_level> level = parse_log_level(fields.text("log_level"));
  if (!level) {
    return Status(IMCTL_INVALID_ARGUMENT, section->origin("log_level") + ": '" +
                                              fields.text("log_level") + "' is no level");
  }
  config.log_level = *level;
  config.max_request = fields.u64("max_request");
  config.max_in_flight =
      static_cast<int64_t>(std::min<uint64_t>(fields.u64("max_in_flight"), INT64_MAX));
  config.stop_timeout = fields.duration("stop_timeout");
  config.max_depth = fields.u32("max_depth");
  return config;
}

InstanceLimits read_module_limits(const Message& config, const Manifest& manifest) {
  Fields fields(config);
  InstanceLimits limits;
  if (manifest.pool_threads() != 0) limits.pool.threads = manifest.pool_threads();
  if (fields.u32("pool_threads") != 0) limits.pool.threads = fields.u32("pool_threads");
  limits.pool.queue = fields.u32("pool_queue");
  limits.pool.queue_bytes = fields.u64("pool_queue_bytes");
  limits.stream_window = fields.u64("stream_window");
  limits.streams_memory = fields.u64("streams_memory");
  return limits;
}

}  // namespace imctl::host
