// Which services can do their work now, and who wants to hear of changes.
#ifndef IMCTL_HOST_CORE_HEALTH_H
#define IMCTL_HOST_CORE_HEALTH_H

#include <cstdint>
#include <functional>
#include <map>
#include <mutex>
#include <optional>
#include <string>
#include <utility>

namespace imctl::host {

class Health {
 public:
  // Empty name: the host as a whole.
  void set(const std::string& service, bool serving) {
    std::map<uint64_t, std::function<void()>> watchers;
    {
      std::lock_guard lock(mutex_);
      serving_[service] = serving;
      watchers = watchers_;
    }
    for (const auto& [id, changed] : watchers) changed();
  }
  // Nothing: nobody ever served it.
  std::optional<bool> get(const std::string& service) const {
    std::lock_guard lock(mutex_);
    auto at = serving_.find(service);
    if (at == serving_.end()) return std::nullopt;
    return at->second;
  }
  // `changed` must not block; it may still be run once while or after unwatch.
  uint64_t watch(std::function<void()> changed) {
    std::lock_guard lock(mutex_);
    watchers_.emplace(++last_, std::move(changed));
    return last_;
  }
  void unwatch(uint64_t id) {
    std::lock_guard lock(mutex_);
    watchers_.erase(id);
  }

 private:
  mutable std::mutex mutex_;
  std::map<std::string, bool> serving_;
  std::map<uint64_t, std::function<void()>> watchers_;
  uint64_t last_ = 0;
};

}  // namespace imctl::host

#endif  // IMCTL_HOST_CORE_HEALTH_H
