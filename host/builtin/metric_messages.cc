#include "builtin/metric_messages.h"

#include "core/host.h"

namespace imctl::host {

v1::ListMetricsResponse list_metrics(Host& host, const std::string& prefix) {
  v1::ListMetricsResponse reply;
  auto add = [&](const std::string& name, const std::string& labels, const char* kind, double value,
                 const std::string& help) -> v1::Metric* {
    if (name.compare(0, prefix.size(), prefix) != 0) return nullptr;
    v1::Metric* metric = reply.add_metrics();
    metric->set_name(name);
    metric->set_labels(labels);
    metric->set_kind(kind);
    metric->set_value(value);
    metric->set_help(help);
    return metric;
  };
  for (const MethodSlot* slot : host.methods().all()) {
    std::string method = "method=\"" + slot->name() + "\"";
    for (size_t code = 0; code < MethodSlot::kCodes; ++code) {
      if (slot->ended(code) == 0) continue;
      add("imctl_calls_total", method + ",code=\"" + std::to_string(code) + "\"", "counter",
          static_cast<double>(slot->ended(code)),
          "Calls that ended, by method and gRPC status code");
    }
    if (slot->seconds() > 0) {
      add("imctl_call_seconds_total", method, "counter", slot->seconds(),
          "Time in calls that ended");
    }
  }
  add("imctl_in_flight_bytes", "", "gauge", static_cast<double>(host.in_flight()),
      "Bytes of requests in work");
  for (const Metric* known : host.metrics().all()) {
    static constexpr const char* kKinds[] = {"counter", "gauge", "histogram"};
    v1::Metric* metric =
        add(known->name(), known->labels(), kKinds[known->kind()], known->value(), known->help());
    if (metric == nullptr || known->kind() != IMCTL_HISTOGRAM) continue;
    metric->set_count(known->count());
    for (size_t i = 0; i < Metric::kBounds.size(); ++i) {
      metric->add_bounds(Metric::kBounds[i]);
      metric->add_buckets(known->bucket(i));
    }
  }
  return reply;
}

}  // namespace imctl::host
