// Who calls with a credential, and whether that still holds: what the dispatcher asks before it
// lets a user's call in.
//
// The answers come from whichever module serves imctl.auth.v1.Authenticator. They are kept while
// that module tells of changes; a change has the credential looked at again, at once if streams are
// open with it, and those end whose user may not have them any more. While it does not tell of
// changes, each call is asked for.
#ifndef IMCTL_HOST_CORE_ACCESS_CONTROL_H
#define IMCTL_HOST_CORE_ACCESS_CONTROL_H

#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <deque>
#include <functional>
#include <list>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <unordered_set>
#include <vector>

#include "core/access_rules.h"
#include "imctl/status.h"
#include "road/call_ref.h"
#include "road/identity.h"

namespace imctl::host {

class Road;
struct MethodInfo;

// What the authenticator says: imctl.auth.v1.Identity.
struct Person {
  std::string user;
  std::vector<std::string> roles;
  std::vector<std::string> scope;
  std::optional<std::chrono::system_clock::time_point> ends;
  std::string credential;
};

class AccessControl {
 public:
  // Of one caller, by one of both.
  struct Question {
    std::string token;
    std::string user;
    std::string peer;
  };
  // The way to the module that knows.
  class Authenticator {
   public:
    virtual ~Authenticator() = default;
    // `answer` is called once, from any thread, maybe before this returns.
    virtual void ask(const Question& question, std::function<void(Result<Person>)> answer) = 0;
    // Other modules serve now: the one that tells of changes may be another.
    virtual void modules_changed() = 0;
  };

  explicit AccessControl(Road* road) : road_(road) {}
  AccessControl(const AccessControl&) = delete;
  AccessControl& operator=(const AccessControl&) = delete;

  // Nullptr: there is none any more, and nothing is being asked when this returns.
  void set_authenticator(std::shared_ptr<Authenticator> authenticator);
  void modules_changed();

  // In force for all calls from now on; open streams are looked at again.
  void set_rules(std::shared_ptr<const AccessRules> rules);
  std::shared_ptr<const AccessRules> rules() const;
  // What somebody may do whom the authenticator describes.
  std::shared_ptr<const Grant> grant_of(const Person& person) const;

  // The authenticator tells of changes from now on, or does not any more.
  void set_watching(bool watching);
  void user_changed(const std::string& user) { changed("u" + user); }
  void credential_changed(const std::string& credential) { changed("c" + credential); }
  void all_changed();
  // Somebody's rights have changed perhaps, and that is told in a moment: until then nobody is let in
  // by what was asked for before.
  void doubt_all();

  // ---- for the dispatcher: see Road
  std::optional<Status> identify(Call& call);
  static Status check_owner(const Call& call, const MethodInfo& method);

  struct Facts {
    size_t known = 0;    // credentials that are kept
    size_t waiting = 0;  // calls that wait for an answer
    size_t streams = 0;
    bool watching = false;
  };
  Facts facts() const;

 private:
  class Asking;
  class Entry;
  using EntryPtr = std::shared_ptr<Entry>;
  using Lock = std::unique_lock<std::mutex>;
  struct Asked {
    uint64_t after = 0;  // changes
    int64_t at = 0;      // monotonic
  };

  void changed(const std::string& name);
  EntryPtr find_or_make(Call& call);
  void ask(const EntryPtr& entry);
  void answered(const EntryPtr& entry, const Asked& asked, Result<Person> answer);
  bool holds(const Entry& entry) const;
  bool changed_since(const Asked& asked, const Grant& grant) const;
  // Under the names of its grant, for changes to find it; and not any more.
  void name(const EntryPtr& entry);
  void unname(const EntryPtr& entry);
  void forget(const EntryPtr& entry);
  void evict();
  void look_again(Lock& lock, const std::vector<EntryPtr>& entries);
  void opened(const EntryPtr& entry, Call& call);
  void closed(const EntryPtr& entry, Call& call);
  // Has the entry's streams end when its grant does.
  void set_expiry(const EntryPtr& entry);
  void expired(const EntryPtr& entry);

  Road* const road_;
  std::mutex authenticator_mutex_;
  std::condition_variable nobody_asks_;
  std::shared_ptr<Authenticator> authenticator_;
  int asking_ = 0;

  mutable std::mutex mutex_;
  std::shared_ptr<const AccessRules> rules_ = std::make_shared<AccessRules>();
  bool watching_ = false;
  std::unordered_map<std::string, EntryPtr> entries_;
  std::list<Entry*> by_use_;           // the one that was used last first
  std::unordered_set<EntryPtr> open_;  // those with streams, kept or not
  // By "u" and the user, "c" and the credential.
  std::unordered_multimap<std::string, EntryPtr> by_name_;
  // The newest changes, to tell whether an answer is older than one; the last has this number.
  std::deque<std::string> changes_;
  uint64_t changes_told_ = 0;
  int64_t doubted_at_ = 0;
  size_t waiting_ = 0;
  size_t streams_ = 0;
};

}  // namespace imctl::host

#endif  // IMCTL_HOST_CORE_ACCESS_CONTROL_H
