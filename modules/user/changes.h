// Changes: who heard what of users and tokens. It listens to the module's own collections of the
// storage, so what another host changed is told as well, and tells those who listen to
// Authenticator/Watch.
//
// When it cannot hear any more, all listeners are told that it is over, and it begins again by
// itself.
#ifndef IMCTL_USER_CHANGES_H
#define IMCTL_USER_CHANGES_H

#include <condition_variable>
#include <memory>
#include <mutex>
#include <set>
#include <string>
#include <vector>

#include "imctl/auth/v1/authenticator.pb.h"
#include "imctl/event.h"
#include "store.h"

namespace imctl::user {

class Changes {
 public:
  // One who listens. What is not taken soon enough becomes "all".
  class Listener {
   public:
    enum class End { kNo, kDeaf, kMoving, kGone };

    // Waits for news: `co_await listener->news()`.
    Event& news() { return news_; }
    End take(std::vector<auth::v1::Change>* out);
    void tell(const auth::v1::Change& change);
    void end(End why);

   private:
    Event news_;
    std::mutex mutex_;
    std::vector<auth::v1::Change> waiting_;  // guarded by mutex_
    End end_ = End::kNo;                     // guarded by mutex_
  };

  Changes(const Host& host, Store* store);
  ~Changes();

  // After construction and, if a stop is undone, after wait.
  void begin();
  // Begins to listen, and begins again what broke. To be called now and then, from one thread.
  void tick();
  // Ends it for good and all who listen.
  void quiesce();
  // After quiesce: until nothing runs any more.
  void wait();

  // Nothing: it cannot hear of changes just now.
  std::shared_ptr<Listener> listen();
  void leave(const std::shared_ptr<Listener>& listener);

  bool hears() const;
  size_t listeners() const;
  // Why it does not; how far it is.
  std::string state() const;

 private:
  struct Feed;

  detail::Detached run(Feed* feed);
  Task<Status> follow(Feed* feed);
  void tell(const auth::v1::Change& change);
  void end_all(Listener::End why);

  const Host host_;
  Store* const store_;
  const Method<storage::v1::WatchRecordsRequest, storage::v1::Change> watch_;
  mutable std::mutex mutex_;
  std::condition_variable idle_;
  std::vector<std::unique_ptr<Feed>> feeds_;       // what is in them is guarded by mutex_
  std::set<std::shared_ptr<Listener>> listeners_;  // guarded by mutex_
  bool stopping_ = false;                          // guarded by mutex_
};

}  // namespace imctl::user

#endif  // IMCTL_USER_CHANGES_H
