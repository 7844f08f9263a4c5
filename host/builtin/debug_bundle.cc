#include "builtin/debug_bundle.h"

#include <chrono>
#include <ctime>
#include <memory>
#include <string>
#include <vector>

#include "builtin/debug_service.h"
#include "builtin/metric_messages.h"
#include "builtin/module_messages.h"
#include "builtin/status_service.h"
#include "core/archive.h"
#include "core/host.h"
#include "core/log_sink.h"

namespace imctl::host {
namespace {

constexpr size_t kLinesAtOnce = 256;

std::string utc(std::chrono::system_clock::time_point time, const char* format) {
  const std::time_t seconds = std::chrono::system_clock::to_time_t(time);
  std::tm parts{};
  (void)::gmtime_r(&seconds, &parts);
  char text[32];
  return {text, std::strftime(text, sizeof(text), format, &parts)};
}

template <class Message>
std::string json_of(Host& host, const char* type, const Message& message) {
  Result<BufferRef> json =
      host.to_json(*host.find_module("host"), type, message.SerializeAsString());
  return json.ok() ? std::string(json->view()) + "\n" : json.status().message() + "\n";
}

// The settings in force, secrets masked, and where each is from.
std::string settings_text(Host& host) {
  std::string text;
  const SettingsView view = host.settings_admin().list("");
  if (!view.problem.empty()) text += "# " + view.problem + "\n";
  for (const SettingRow& row : view.rows) {
    text += row.value.key + " = " + row.value.text + "  # " + row.value.source;
    if (row.waiting) text += "; waiting: " + row.waiting->after;
    text += "\n";
  }
  return text;
}

std::string log_lines(Host& host) {
  std::string text;
  LogRing& ring = host.log().ring();
  const uint64_t end = ring.next();
  for (uint64_t at = ring.first(); at < end;) {
    std::vector<LogRing::Record> lines;
    (void)ring.read(&at, kLinesAtOnce, &lines);
    if (lines.empty()) break;
    for (const LogRing::Record& line : lines) text += json_line(*line) + "\n";
  }
  return text;
}

}  // namespace

Result<std::string> debug_bundle(Host& host) {
  const auto now = std::chrono::system_clock::now();
  const std::string folder = "imctl-" + utc(now, "%Y%m%dT%H%M%SZ") + "/";
  Archive archive(now);
  archive.add(folder + "status.json",
              json_of(host, "imctl.host.v1.GetStatusResponse", status_of(host)));
  archive.add(folder + "modules.json",
              json_of(host, "imctl.host.v1.ListModulesResponse", list_modules(host)));
  archive.add(folder + "metrics.json",
              json_of(host, "imctl.host.v1.ListMetricsResponse", list_metrics(host, "")));
  if (Result<v1::DebugStateResponse> state = state_of(host, ""); state.ok()) {
    archive.add(folder + "state.json", json_of(host, "imctl.host.v1.DebugStateResponse", *state));
  }
  archive.add(folder + "settings.conf", settings_text(host));
  archive.add(folder + "log.jsonl", log_lines(host));
  archive.add(folder + "stacks.json",
              json_of(host, "imctl.host.v1.DebugStacksResponse", stacks_of()));
  return archive.finish();
}

}  // namespace imctl::host
