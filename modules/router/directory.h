// Directory: which user an address names, asked of whichever module serves
// imctl.auth.v1.Authenticator, and remembered as long as that tells of changes. Without such a
// module every address is somebody's.
#ifndef IMCTL_ROUTER_DIRECTORY_H
#define IMCTL_ROUTER_DIRECTORY_H

#include <chrono>
#include <condition_variable>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <unordered_map>
#include <unordered_set>
#include <vector>

#include "asking.h"
#include "imctl/auth/v1/authenticator.pb.h"
#include "imctl/service.h"
#include "loop.h"

namespace imctl::router {

// "ann@example.org/phone" without "/phone".
std::string_view without_device(std::string_view address);

class Directory {
 public:
  // `user` changed, or everybody may have: they may not come in any more, perhaps. Any thread.
  using Changed = std::function<void(const std::string& user)>;
  using Found = std::function<void(Result<std::vector<std::string>> mailboxes)>;

  Directory(const Host& host, Loop* loop, Changed changed);

  void set_timeout(std::chrono::milliseconds timeout) { timeout_ = timeout; }
  void begin();
  void quiesce();
  void wait();

  // The mailboxes of addresses (`user`, `user@domain`, with or without a device), each once, in the
  // order in which they were first named. An error names the first that is nobody's. `found` is
  // called exactly once, maybe before this returns.
  void find(std::vector<std::string> addresses, Found found);
  // Of a user who wants to come in: not so if they may not.
  void admit(const std::string& address, std::function<void(Result<std::string> user)> admitted);

  size_t known() const;
  bool hears() const;

 private:
  using ResolveMethod = Method<auth::v1::ResolveRequest, auth::v1::Identity>;
  using WatchStream = ClientStream<auth::v1::WatchRequest, auth::v1::Change>;
  struct Search;

  void search(const std::shared_ptr<Search>& search);
  // Empty: it is not known.
  std::string look_up(const std::string& address) const;
  void learn(uint64_t as_of, const std::string& address, const std::string& user);
  void forget(const auth::v1::Change& change);
  void forget_all(bool hears);
  void start_following();
  imctl::detail::Detached follow(std::shared_ptr<WatchStream> stream);

  const Host host_;
  Loop* const loop_;
  const Changed changed_;
  const ResolveMethod resolve_;
  const Method<auth::v1::WatchRequest, auth::v1::Change> watch_;
  std::chrono::milliseconds timeout_{10000};
  mutable std::mutex mutex_;
  std::condition_variable idle_;
  // Guarded by mutex_.
  std::unordered_map<std::string, std::string> names_;  // what addresses stand for
  std::unordered_set<std::string> users_;               // who are there
  uint64_t changes_ = 0;                                // an answer from before one is not kept
  bool hears_ = false;
  bool stopping_ = true;
  bool following_ = false;
  Time pause_ = 0;  // before it listens again
  std::shared_ptr<WatchStream> stream_;
};

}  // namespace imctl::router

#endif  // IMCTL_ROUTER_DIRECTORY_H
