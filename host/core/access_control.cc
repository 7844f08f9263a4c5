#include "core/access_control.h"

#include <algorithm>
#include <utility>

#include "core/owner_field.h"
#include "road/call.h"
#include "road/road.h"

namespace imctl::host {
namespace {

using SystemClock = std::chrono::system_clock;

// Credentials that are kept; with their strings less than a kilobyte each.
constexpr size_t kKept = 65536;
// Changes that are remembered for answers on their way.
constexpr size_t kRecentChanges = 1024;
// Calls that may wait for an answer; their bytes count as those of all requests do.
constexpr size_t kWaiting = 16384;
// Longer than this nobody is believed without being asked for, whatever was told of changes.
constexpr int64_t kLongest = 60'000'000'000;

Status expired_status() { return {IMCTL_UNAUTHENTICATED, "the token has expired"}; }

// A refusal, and not that it cannot be known just now.
bool is_verdict(imctl_code code) {
  return code == IMCTL_UNAUTHENTICATED || code == IMCTL_PERMISSION_DENIED ||
         code == IMCTL_NOT_FOUND || code == IMCTL_INVALID_ARGUMENT;
}

Status in_words(const Status& status) {
  if (is_verdict(status.code())) {
    if (status.code() == IMCTL_PERMISSION_DENIED) return status;
    return {IMCTL_UNAUTHENTICATED, status.message()};
  }
  if (status.code() == IMCTL_UNIMPLEMENTED) {
    return {IMCTL_UNAUTHENTICATED,
            "no loaded module knows users (imctl.auth.v1.Authenticator): load one, user for "
            "example, or come as an administrator"};
  }
  if (status.code() == IMCTL_RESOURCE_EXHAUSTED) return status;
  return {IMCTL_UNAVAILABLE,
          "who calls cannot be known just now, try again soon: " + status.message()};
}

}  // namespace

// One credential that somebody came with. All but `self` and `control` under the control's lock.
class AccessControl::Entry final : public Identity, public std::enable_shared_from_this<Entry> {
 public:
  Entry(AccessControl* access, std::string k, Question q)
      : control(access), key(std::move(k)), question(std::move(q)) {}

  void opened(Call& call) override { control->opened(shared_from_this(), call); }
  void closed(Call& call) override { control->closed(shared_from_this(), call); }

  AccessControl* const control;
  const std::string key;
  const Question question;
  std::shared_ptr<const Grant> grant;  // the last; nullptr: none yet, or it does not hold any more
  int64_t asked_at = 0;                // when that was asked for; 0: ask again
  bool asking = false;
  bool ask_again = false;  // when that is answered
  std::vector<CallRef> waiting;
  std::unordered_set<Call*> streams;
  std::optional<Timer::Id> expiry;
  std::list<Entry*>::iterator use;
  bool kept = true;
};

// The authenticator, which stays while this does.
class AccessControl::Asking {
 public:
  explicit Asking(AccessControl* access) : access_(access) {
    std::lock_guard lock(access_->authenticator_mutex_);
    authenticator_ = access_->authenticator_;
    if (authenticator_ != nullptr) ++access_->asking_;
  }
  Asking(const Asking&) = delete;
  Asking& operator=(const Asking&) = delete;
  ~Asking() {
    if (authenticator_ == nullptr) return;
    std::lock_guard lock(access_->authenticator_mutex_);
    if (--access_->asking_ == 0) access_->nobody_asks_.notify_all();
  }
  Authenticator* operator->() const { return authenticator_.get(); }
  bool possible() const { return authenticator_ != nullptr; }

 private:
  AccessControl* const access_;
  std::shared_ptr<Authenticator> authenticator_;
};

void AccessControl::set_authenticator(std::shared_ptr<Authenticator> authenticator) {
  std::unique_lock lock(authenticator_mutex_);
  authenticator_ = std::move(authenticator);
  nobody_asks_.wait(lock, [this] { return asking_ == 0; });
}

void AccessControl::modules_changed() {
  Asking authenticator(this);
  if (authenticator.possible()) authenticator->modules_changed();
}

void AccessControl::set_rules(std::shared_ptr<const AccessRules> rules) {
  {
    std::lock_guard lock(mutex_);
    rules_ = std::move(rules);
  }
  all_changed();
}

std::shared_ptr<const AccessRules> AccessControl::rules() const {
  std::lock_guard lock(mutex_);
  return rules_;
}

std::shared_ptr<const Grant> AccessControl::grant_of(const Person& person) const {
  auto grant = std::make_shared<Grant>();
  grant->user = person.user;
  grant->credential = person.credential;
  grant->roles = person.roles;
  grant->scope = person.scope;
  grant->ends = person.ends;
  std::shared_ptr<const AccessRules> now = rules();
  for (const std::string& role : person.roles) {
    auto globs = now->roles.find(role);
    if (globs == now->roles.end()) continue;
    grant->allowed.insert(grant->allowed.end(), globs->second.begin(), globs->second.end());
  }
  return grant;
}

AccessControl::Facts AccessControl::facts() const {
  std::lock_guard lock(mutex_);
  return {entries_.size(), waiting_, streams_, watching_};
}

// ---- changes

void AccessControl::set_watching(bool watching) {
  {
    std::lock_guard lock(mutex_);
    watching_ = watching;
  }
  // What changed while nobody told it is not known.
  if (watching) all_changed();
}

void AccessControl::changed(const std::string& name) {
  Lock lock(mutex_);
  ++changes_told_;
  changes_.push_back(name);
  if (changes_.size() > kRecentChanges) changes_.pop_front();
  std::vector<EntryPtr> entries;
  auto [begin, end] = by_name_.equal_range(name);
  for (auto at = begin; at != end; ++at) entries.push_back(at->second);
  look_again(lock, entries);
}

void AccessControl::all_changed() {
  Lock lock(mutex_);
  changes_told_ += kRecentChanges + 1;  // older than what is remembered
  changes_.clear();
  std::vector<EntryPtr> entries;
  entries.reserve(entries_.size());
  for (const auto& [key, entry] : entries_) {
    if (entry->streams.empty()) entries.push_back(entry);
  }
  entries.insert(entries.end(), open_.begin(), open_.end());
  look_again(lock, entries);
}

void AccessControl::doubt_all() {
  Lock lock(mutex_);
  doubted_at_ = monotonic_now();
}

// Those with open streams at once, the others when somebody comes with them.
void AccessControl::look_again(Lock& lock, const std::vector<EntryPtr>& entries) {
  std::vector<EntryPtr> open;
  for (const EntryPtr& entry : entries) {
    entry->asked_at = 0;
    if (entry->streams.empty()) continue;
    if (entry->asking) {
      entry->ask_again = true;
    } else {
      entry->asking = true;
      open.push_back(entry);
    }
  }
  lock.unlock();
  for (const EntryPtr& entry : open) ask(entry);
}

bool AccessControl::changed_since(const Asked& asked, const Grant& grant) const {
  if (asked.at <= doubted_at_) return true;
  const uint64_t newer = changes_told_ - asked.after;
  if (newer > changes_.size()) return true;
  auto matches = [&](const std::string& name) {
    return name.compare(1, std::string::npos,
                        name.front() == 'u' ? grant.user : grant.credential) == 0;
  };
  return std::any_of(changes_.end() - static_cast<std::ptrdiff_t>(newer), changes_.end(), matches);
}

// ---- asking

std::optional<Status> AccessControl::identify(Call& call) {
  EntryPtr entry;
  bool first = false;
  {
    Lock lock(mutex_);
    entry = find_or_make(call);
    if (holds(*entry)) {
      std::shared_ptr<const Grant> grant = entry->grant;
      lock.unlock();
      call.identify(std::move(grant), std::move(entry));
      return Status();
    }
    if (waiting_ >= kWaiting) {
      if (entry->grant == nullptr && !entry->asking) forget(entry);
      return Status(IMCTL_RESOURCE_EXHAUSTED,
                    "too many calls wait until it is known who makes them: try again later");
    }
    ++waiting_;
    road_->add_in_flight(static_cast<int64_t>(call.params().request.size()));
    call.ref();
    entry->waiting.emplace_back(&call);
    first = !std::exchange(entry->asking, true);
  }
  if (first) ask(entry);
  return std::nullopt;
}

AccessControl::EntryPtr AccessControl::find_or_make(Call& call) {
  const CallParams& params = call.params();
  std::string key = params.token.empty() ? "u" + params.certified_user : "t" + params.token;
  auto at = entries_.find(key);
  if (at != entries_.end()) {
    by_use_.splice(by_use_.begin(), by_use_, at->second->use);
    return at->second;
  }
  auto entry = std::make_shared<Entry>(this, key,
                                       Question{params.token, params.certified_user, params.peer});
  by_use_.push_front(entry.get());
  entry->use = by_use_.begin();
  entries_.emplace(std::move(key), entry);
  evict();
  return entry;
}

bool AccessControl::holds(const Entry& entry) const {
  return watching_ && entry.asked_at > doubted_at_ &&
         entry.asked_at + kLongest > monotonic_now() &&
         (!entry.grant->ends || *entry.grant->ends > SystemClock::now());
}

void AccessControl::ask(const EntryPtr& entry) {
  Asked asked;
  {
    std::lock_guard lock(mutex_);
    asked = {changes_told_, monotonic_now()};
  }
  Asking authenticator(this);
  if (!authenticator.possible()) {
    answered(entry, asked, Status(IMCTL_UNAVAILABLE, "the host is starting or stopping"));
    return;
  }
  authenticator->ask(entry->question, [this, entry, asked](Result<Person> answer) {
    answered(entry, asked, std::move(answer));
  });
}

void AccessControl::answered(const EntryPtr& entry, const Asked& asked, Result<Person> answer) {
  std::shared_ptr<const Grant> grant = answer.ok() ? grant_of(*answer) : nullptr;
  const Status status = in_words(answer.status());
  std::vector<CallRef> waiting;
  std::vector<CallRef> ending;
  bool again = false;
  {
    Lock lock(mutex_);
    if (grant != nullptr) {
      unname(entry);
      entry->grant = grant;
      if (entry->kept || !entry->streams.empty()) name(entry);
      set_expiry(entry);
      const bool stale = changed_since(asked, *grant);
      entry->asked_at = stale ? 0 : asked.at;
      // A call that came after the change is not to be let in by what was true before it.
      again = stale && watching_ && (!entry->streams.empty() || !entry->waiting.empty());
    } else if (entry->grant == nullptr || is_verdict(answer.status().code())) {
      forget(entry);
      unname(entry);
      entry->grant = nullptr;
      entry->asked_at = 0;
    }
    again = (again || std::exchange(entry->ask_again, false)) && entry->grant != nullptr;
    entry->asking = again;
    if (!again) {
      waiting.swap(entry->waiting);
      waiting_ -= waiting.size();
    }
    for (Call* call : entry->streams) {
      // What cannot be known just now ends nothing.
      if (entry->grant != nullptr && entry->grant != grant) continue;
      call->ref();
      ending.emplace_back(call);
    }
  }
  for (const CallRef& call : waiting) {
    road_->add_in_flight(-static_cast<int64_t>(call->params().request.size()));
    if (grant != nullptr) {
      road_->dispatcher().resume(*call.get(), grant, entry);
    } else {
      road_->dispatcher().refuse(*call.get(), status);
    }
  }
  for (const CallRef& call : ending) {
    Status may = grant == nullptr ? status : road_->dispatcher().check_again(*call.get(), *grant);
    if (!may.ok()) call->cancel(std::move(may));
  }
  if (again) ask(entry);
}

// ---- what is kept

void AccessControl::name(const EntryPtr& entry) {
  by_name_.emplace("u" + entry->grant->user, entry);
  if (!entry->grant->credential.empty()) by_name_.emplace("c" + entry->grant->credential, entry);
}

void AccessControl::unname(const EntryPtr& entry) {
  if (entry->grant == nullptr) return;
  for (const std::string& name : {"u" + entry->grant->user, "c" + entry->grant->credential}) {
    auto [begin, end] = by_name_.equal_range(name);
    for (auto at = begin; at != end; ++at) {
      if (at->second != entry) continue;
      by_name_.erase(at);
      break;
    }
  }
}

void AccessControl::forget(const EntryPtr& entry) {
  if (!std::exchange(entry->kept, false)) return;
  by_use_.erase(entry->use);
  entries_.erase(entry->key);
}

// Of those that nothing is open or waits with.
void AccessControl::evict() {
  constexpr int kLooks = 8;
  for (int i = 0; i < kLooks && entries_.size() > kKept; ++i) {
    EntryPtr last = by_use_.back()->shared_from_this();
    if (last->asking || !last->streams.empty()) {
      by_use_.splice(by_use_.begin(), by_use_, last->use);
      continue;
    }
    forget(last);
    unname(last);
    return;
  }
}

// ---- streams

void AccessControl::opened(const EntryPtr& entry, Call& call) {
  bool first = false;
  {
    Lock lock(mutex_);
    ++streams_;
    // While nothing was open with it, it may have been thrown out.
    const bool lost = !entry->kept && entry->streams.empty();
    if (lost && entry->grant != nullptr) name(entry);
    entry->streams.insert(&call);
    open_.insert(entry);
    set_expiry(entry);
    // Something changed between the answer that let it in and now.
    const bool stale = lost || entry->grant != call.params().grant || (watching_ && !holds(*entry));
    first = stale && !entry->asking;
    if (stale && entry->asking) entry->ask_again = true;
    if (first) entry->asking = true;
  }
  if (first) ask(entry);
}

void AccessControl::closed(const EntryPtr& entry, Call& call) {
  Lock lock(mutex_);
  streams_ -= entry->streams.erase(&call);
  if (!entry->streams.empty()) return;
  open_.erase(entry);
  if (!entry->kept) unname(entry);
  set_expiry(entry);
}

void AccessControl::set_expiry(const EntryPtr& entry) {
  if (entry->expiry) road_->timer().cancel(*entry->expiry);
  entry->expiry.reset();
  if (entry->streams.empty() || entry->grant == nullptr || !entry->grant->ends) return;
  // Far-off ends would not fit.
  constexpr std::chrono::hours kFar{24 * 365 * 100};
  const auto left = std::min<SystemClock::duration>(*entry->grant->ends - SystemClock::now(), kFar);
  entry->expiry = road_->timer().at(
      monotonic_now() + std::chrono::duration_cast<std::chrono::nanoseconds>(left).count(),
      [this, entry] { expired(entry); });
}

void AccessControl::expired(const EntryPtr& entry) {
  std::vector<CallRef> ending;
  {
    Lock lock(mutex_);
    // Another answer may have come while this was about to begin.
    if (entry->grant != nullptr && entry->grant->ends && *entry->grant->ends > SystemClock::now()) {
      return;
    }
    entry->asked_at = 0;
    for (Call* call : entry->streams) {
      call->ref();
      ending.emplace_back(call);
    }
  }
  for (const CallRef& call : ending) call->cancel(expired_status());
}

// ---- whose it is

Status AccessControl::check_owner(const Call& call, const MethodInfo& method) {
  const CallParams& params = call.params();
  Result<std::string> owner = owner_in(params.request.view(), method.owner);
  if (!owner.ok()) {
    return {IMCTL_INVALID_ARGUMENT, "the request of " + method.name + " is not well-formed"};
  }
  if (!owner->empty() && *owner == params.principal) return {};
  return {IMCTL_PERMISSION_DENIED, params.principal + " may call " + method.name +
                                       " for themselves only, named in full: " + params.principal};
}

}  // namespace imctl::host
