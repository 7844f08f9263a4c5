#include "road/metrics.h"

#include <algorithm>

namespace imctl::host {
namespace {

bool good_name(std::string_view name) {
  auto letter = [](char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_'; };
  return !name.empty() && letter(name[0]) && std::all_of(name.begin(), name.end(), [&](char c) {
    return letter(c) || (c >= '0' && c <= '9');
  });
}

}  // namespace

void Metric::observe(double value) {
  value_.fetch_add(value, std::memory_order_relaxed);
  count_.fetch_add(1, std::memory_order_relaxed);
  for (size_t i = kBounds.size(); i-- > 0 && value <= kBounds[i];) {
    buckets_[i].fetch_add(1, std::memory_order_relaxed);
  }
}

void Metric::add_observed(double sum, uint64_t count,
                          const std::array<uint64_t, kBounds.size()>& buckets) {
  value_.fetch_add(sum, std::memory_order_relaxed);
  count_.fetch_add(count, std::memory_order_relaxed);
  for (size_t i = 0; i < kBounds.size(); ++i) {
    buckets_[i].fetch_add(buckets[i], std::memory_order_relaxed);
  }
}

Metric* Metrics::get(imctl_metric_kind kind, std::string_view name, std::string_view labels,
                     std::string_view help) {
  if (!good_name(name)) return nullptr;
  std::lock_guard lock(mutex_);
  auto first = metrics_.lower_bound({std::string(name), std::string()});
  if (first != metrics_.end() && first->first.first == name && first->second->kind() != kind)
    return nullptr;
  std::unique_ptr<Metric>& metric = metrics_[{std::string(name), std::string(labels)}];
  if (metric == nullptr) {
    metric =
        std::make_unique<Metric>(kind, std::string(name), std::string(labels), std::string(help));
  }
  return metric.get();
}

const Metric* Metrics::find(std::string_view name, std::string_view labels) const {
  std::lock_guard lock(mutex_);
  auto found = metrics_.find({std::string(name), std::string(labels)});
  return found == metrics_.end() ? nullptr : found->second.get();
}

std::vector<const Metric*> Metrics::all() const {
  std::lock_guard lock(mutex_);
  std::vector<const Metric*> all;
  all.reserve(metrics_.size());
  for (const auto& [key, metric] : metrics_) all.push_back(metric.get());
  return all;
}

}  // namespace imctl::host
