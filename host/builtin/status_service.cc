#include "builtin/status_service.h"

#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <iomanip>
#include <map>
#include <memory>
#include <sstream>
#include <string>
#include <string_view>
#include <utility>

#include "builtin/module_messages.h"
#include "builtin/times.h"
#include "core/host.h"
#include "core/process_facts.h"
#include "imctl/event.h"

namespace imctl::host {
namespace {

constexpr std::chrono::nanoseconds kDefaultInterval = std::chrono::seconds(2);
constexpr std::chrono::nanoseconds kShortestInterval = std::chrono::milliseconds(10);
constexpr std::chrono::nanoseconds kLongestInterval = std::chrono::minutes(1);
// How soon a call that nobody waits for any more is noticed.
constexpr std::chrono::nanoseconds kLook = std::chrono::milliseconds(100);

// Calls `tell` for what a module says is its load. `per_second` gives how much a metric grew a
// second.
template <class PerSecond, class Tell>
void each_load(Host& host, const Instance& instance, PerSecond per_second, Tell tell) {
  for (const StatusMetric& wanted : manifest_of(instance).status()) {
    const Metric* metric = host.metrics().find(wanted.metric(), wanted.labels());
    if (metric == nullptr) continue;
    tell(wanted.label(), wanted.per_second() ? per_second(*metric) : metric->value());
  }
}

// Three digits that matter, as few as that.
std::string short_number(double value) {
  std::ostringstream text;
  text << std::setprecision(value < 100 ? 1 : 0) << std::fixed << value;
  std::string made = text.str();
  if (made.size() > 2 && made.ends_with(".0")) made.resize(made.size() - 2);
  return made;
}

void add_modules(Host& host, v1::GetStatusResponse* reply) {
  const v1::ListModulesResponse list = list_modules(host);
  for (const v1::ModuleInfo& info : list.modules()) {
    // One screen: what is installed and does not run is in the list of modules.
    if (info.state() == "off") continue;
    v1::ModuleStatus* module = reply->add_modules();
    module->set_name(info.name());
    module->set_version(info.version());
    module->set_state(info.state());
    module->set_where(info.where());
    module->set_reason(info.reason());
    module->set_memory(info.memory());
    if (std::shared_ptr<Instance> instance = host.find_module(info.name())) {
      module->set_in_flight(instance->calls_in_flight());
      reply->set_calls_in_flight(reply->calls_in_flight() + instance->calls_in_flight());
      module->set_data_size(folder_size(host.config().data + "/" + info.name()));
      each_load(
          host, *instance, [&](const Metric& metric) { return host.rates().lately(metric); },
          [&](const std::string& name, double value) {
            std::string* load = module->mutable_load();
            *load += (load->empty() ? "" : ", ") + name + " " + short_number(value);
          });
    }
    if (info.state() != "active") {
      reply->add_problems("module " + info.name() + " is " + info.state() +
                          (info.reason().empty() ? "" : ": " + info.reason()));
    }
  }
}

// What was counted of a method until some moment.
struct Count {
  uint64_t ended = 0;
  uint64_t failed = 0;
  Latency::Counts latency{};
};

Count count_of(const MethodSlot& slot) {
  Count count;
  for (size_t code = 0; code < MethodSlot::kCodes; ++code) {
    count.ended += slot.ended(code);
    if (is_failure(code)) count.failed += slot.ended(code);
  }
  count.latency = slot.latency().counts();
  return count;
}

using Counts = std::map<const MethodSlot*, Count>;

Counts counts_of(Host& host) {
  Counts counts;
  for (const MethodSlot* slot : host.methods().all()) counts.emplace(slot, count_of(*slot));
  return counts;
}

v1::TopResponse difference(const Counts& before, const Counts& after,
                           std::chrono::nanoseconds took) {
  v1::TopResponse reply;
  set_duration(took, reply.mutable_interval());
  const double seconds = std::chrono::duration<double>(took).count();
  for (const auto& [slot, now] : after) {
    const auto then = before.find(slot);
    Count count = now;
    if (then != before.end()) {
      count.ended -= then->second.ended;
      count.failed -= then->second.failed;
      for (size_t i = 0; i < count.latency.size(); ++i) {
        count.latency[i] -= then->second.latency[i];
      }
    }
    if (count.ended == 0) continue;
    v1::MethodLoad* method = reply.add_methods();
    method->set_method(slot->name().substr(1));
    if (auto route = slot->route()) method->set_module(route->instance->name());
    method->set_calls(count.ended);
    method->set_failures(count.failed);
    method->set_calls_per_second(static_cast<double>(count.ended) / seconds);
    method->set_failures_per_second(static_cast<double>(count.failed) / seconds);
    auto quantile = [&](double part) {
      return std::chrono::nanoseconds(Latency::quantile(count.latency, part));
    };
    set_duration(quantile(0.5), method->mutable_p50());
    set_duration(quantile(0.99), method->mutable_p99());
  }
  std::sort(reply.mutable_methods()->begin(), reply.mutable_methods()->end(),
            [](const v1::MethodLoad& a, const v1::MethodLoad& b) {
              return std::pair(b.calls(), a.method()) < std::pair(a.calls(), b.method());
            });
  return reply;
}

}  // namespace

v1::GetStatusResponse status_of(Host& host) {
  v1::GetStatusResponse reply;
  const HostConfig& config = host.config();
  reply.set_version(IMCTL_VERSION);
  const auto now = std::chrono::system_clock::now();
  const std::chrono::nanoseconds uptime(monotonic_now() - host.started());
  set_duration(std::chrono::duration_cast<std::chrono::seconds>(uptime), reply.mutable_uptime());
  set_time(std::chrono::floor<std::chrono::seconds>(
               now - std::chrono::duration_cast<std::chrono::system_clock::duration>(uptime)),
           reply.mutable_started());
  reply.set_pid(::getpid());
  reply.set_domain(config.domain);
  reply.set_data(config.data);
  reply.set_config_file(host.options().config_file);
  for (const std::string& address : host.listening()) {
    constexpr std::string_view kUnix = "unix:";
    const bool local = address.starts_with(kUnix);
    v1::Listener* listener = reply.add_listeners();
    listener->set_address(local ? address.substr(kUnix.size()) : address);
    const bool tls = !config.tls_cert.empty();
    listener->set_kind(local ? "unix" : tls ? "tls" : "tcp");
    listener->set_access(config.auth_none ? "everybody is an administrator"
                         : local          ? "root, its own user and group; others by a token"
                         : config.tls_client_ca.empty()
                             ? "by a token or a node's key"
                             : "by a token, a node's key or a certificate");
  }
  reply.set_request_bytes(static_cast<uint64_t>(host.in_flight()));
  reply.set_max_request_bytes(static_cast<uint64_t>(host.bounds.max_in_flight.load()));
  const CallTotals totals = total_calls(host.methods());
  reply.set_calls(totals.ended);
  reply.set_failures(totals.failed);
  const CallRates::Rates rates = host.rates().lately();
  reply.set_calls_per_second(rates.ended);
  reply.set_failures_per_second(rates.failed);
  const ProcessFacts process = process_facts();
  reply.set_memory(process.resident);
  reply.set_threads(process.threads);
  reply.set_open_files(process.open_files);
  reply.set_data_size(folder_size(config.data));
  add_modules(host, &reply);
  if (std::string problem = host.audit().problem(); !problem.empty()) reply.add_problems(problem);
  reply.set_health(reply.problems().empty() ? "serving" : "ill");
  return reply;
}

StatusService::StatusService(Module& module, Host& host) : host_(host) {
  module.serve("/imctl.host.v1.Status/Get", this, &StatusService::get);
  module.serve("/imctl.host.v1.Status/Top", this, &StatusService::top);
}

Task<Result<v1::TopResponse>> StatusService::top(const v1::TopRequest& request,
                                                 const Context& context) {
  const std::chrono::nanoseconds interval =
      request.has_interval() ? to_nanoseconds(request.interval()) : kDefaultInterval;
  if (interval < kShortestInterval || interval > kLongestInterval) {
    co_return Status(IMCTL_INVALID_ARGUMENT, "interval: give 10ms to 1m");
  }
  const int64_t start = monotonic_now();
  const int64_t end = start + interval.count();
  const Counts before = counts_of(host_);
  std::map<const Metric*, double> metrics_before;
  for (const Metric* metric : host_.metrics().all()) metrics_before[metric] = metric->value();
  // The timer's: it may still be setting it when this has gone on.
  auto woken = std::make_shared<Event>();
  while (monotonic_now() < end) {
    if (context.cancelled()) co_return Status(IMCTL_CANCELLED, "nobody waits for it");
    host_.timer().at(std::min(end, monotonic_now() + kLook.count()), [woken] { woken->set(); });
    co_await *woken;
  }
  const std::chrono::nanoseconds took(monotonic_now() - start);
  v1::TopResponse reply = difference(before, counts_of(host_), took);
  for (auto view = host_.modules().view(); const auto& module : view->modules) {
    each_load(
        host_, *module,
        [&](const Metric& metric) {
          const auto then = metrics_before.find(&metric);
          return (metric.value() - (then == metrics_before.end() ? 0 : then->second)) /
                 std::chrono::duration<double>(took).count();
        },
        [&](const std::string& name, double value) {
          v1::Load* load = reply.add_loads();
          load->set_module(module->name());
          load->set_name(name);
          load->set_value(value);
        });
  }
  co_return reply;
}

}  // namespace imctl::host
