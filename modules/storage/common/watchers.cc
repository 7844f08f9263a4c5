#include "watchers.h"

#include <vector>

namespace imctl::storage {

void Watchers::tell(Kind kind, std::string_view name) {
  std::vector<std::shared_ptr<Event>> told;
  {
    std::lock_guard lock(mutex_);
    if (waiting_.empty()) return;
    auto [from, to] = waiting_.equal_range(topic(kind, name));
    for (auto at = from; at != to; ++at) told.push_back(at->second);
  }
  for (const auto& news : told) news->set();  // may come back here
}

void Watchers::tell_all() {
  std::vector<std::shared_ptr<Event>> told;
  {
    std::lock_guard lock(mutex_);
    told.reserve(waiting_.size());
    for (const auto& [topic, news] : waiting_) told.push_back(news);
  }
  for (const auto& news : told) news->set();
}

}  // namespace imctl::storage
