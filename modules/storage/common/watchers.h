// Who waits for news of what: the Watch calls. A back end that several hosts share tells of the
// others' commits here, too.
#ifndef IMCTL_STORAGE_WATCHERS_H
#define IMCTL_STORAGE_WATCHERS_H

#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>

#include "imctl/event.h"

namespace imctl::storage {

// From any thread.
class Watchers {
 public:
  enum class Kind : char { kMailbox = 'm', kCollection = 'c' };

  // Waits for news of one thing for as long as it lives. News that come before the wait are kept.
  class Watcher {
   public:
    Watcher(Watchers* all, Kind kind, std::string_view name)
        : all_(all), topic_(topic(kind, name)), news_(std::make_shared<Event>()) {
      std::lock_guard lock(all_->mutex_);
      all_->waiting_.emplace(topic_, news_);
    }
    Watcher(const Watcher&) = delete;
    Watcher& operator=(const Watcher&) = delete;
    ~Watcher() {
      std::lock_guard lock(all_->mutex_);
      auto [from, to] = all_->waiting_.equal_range(topic_);
      for (auto at = from; at != to; ++at) {
        if (at->second == news_) {
          all_->waiting_.erase(at);
          return;
        }
      }
    }
    // `co_await *news`. Who waits goes on on the thread that brings the news and must leave it
    // soon.
    const std::shared_ptr<Event>& news() const { return news_; }

   private:
    Watchers* const all_;
    const std::string topic_;
    const std::shared_ptr<Event> news_;
  };

  Watchers() = default;
  Watchers(const Watchers&) = delete;
  Watchers& operator=(const Watchers&) = delete;

  void tell(Kind kind, std::string_view name);
  // Something may have happened to anything.
  void tell_all();
  size_t count() {
    std::lock_guard lock(mutex_);
    return waiting_.size();
  }

 private:
  static std::string topic(Kind kind, std::string_view name) {
    return std::string(1, static_cast<char>(kind)).append(name);
  }

  std::mutex mutex_;
  std::unordered_multimap<std::string, std::shared_ptr<Event>> waiting_;  // guarded by mutex_
};

}  // namespace imctl::storage

#endif  // IMCTL_STORAGE_WATCHERS_H
