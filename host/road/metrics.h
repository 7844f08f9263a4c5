// What modules count, by name and labels.
#ifndef IMCTL_HOST_ROAD_METRICS_H
#define IMCTL_HOST_ROAD_METRICS_H

#include <array>
#include <atomic>
#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "imctl/module.h"

struct imctl_metric {};

namespace imctl::host {

class Metric : public imctl_metric {
 public:
  // Seconds: from a hundred microseconds to ten seconds.
  static constexpr std::array<double, 16> kBounds = {0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005,
                                                     0.01,   0.025,   0.05,   0.1,   0.25,   0.5,
                                                     1,      2.5,     5,      10};

  Metric(imctl_metric_kind kind, std::string name, std::string labels, std::string help)
      : kind_(kind), name_(std::move(name)), labels_(std::move(labels)), help_(std::move(help)) {}

  void add(double value) { value_.fetch_add(value, std::memory_order_relaxed); }
  void set(double value) { value_.store(value, std::memory_order_relaxed); }
  void observe(double value);
  // What was observed elsewhere.
  void add_observed(double sum, uint64_t count,
                    const std::array<uint64_t, kBounds.size()>& buckets);

  imctl_metric_kind kind() const { return kind_; }
  const std::string& name() const { return name_; }
  const std::string& labels() const { return labels_; }
  const std::string& help() const { return help_; }
  double value() const { return value_.load(std::memory_order_relaxed); }
  uint64_t count() const { return count_.load(std::memory_order_relaxed); }
  // How many observations were at or under kBounds[i].
  uint64_t bucket(size_t i) const { return buckets_[i].load(std::memory_order_relaxed); }

 private:
  const imctl_metric_kind kind_;
  const std::string name_, labels_, help_;
  std::atomic<double> value_{0};
  std::atomic<uint64_t> count_{0};
  std::array<std::atomic<uint64_t>, kBounds.size()> buckets_{};
};

class Metrics {
 public:
  // Finds or makes; nullptr if the name is bad or stands for another kind.
  Metric* get(imctl_metric_kind kind, std::string_view name, std::string_view labels,
              std::string_view help);
  // nullptr if there is none.
  const Metric* find(std::string_view name, std::string_view labels) const;
  std::vector<const Metric*> all() const;

 private:
  mutable std::mutex mutex_;
  std::map<std::pair<std::string, std::string>, std::unique_ptr<Metric>> metrics_;
};

}  // namespace imctl::host

#endif  // IMCTL_HOST_ROAD_METRICS_H
