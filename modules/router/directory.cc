#include "directory.h"

#include <algorithm>
#include <utility>

namespace imctl::router {
namespace {

// Addresses that are remembered; then all are forgotten at once, which costs little.
constexpr size_t kMostNames = 200'000;
// Before the changes are listened to again.
constexpr Time kFirstPause = 100;
constexpr Time kLongestPause = 2000;

}  // namespace

std::string_view without_device(std::string_view address) {
  return address.substr(0, address.find('/'));
}

struct Directory::Search {
  std::vector<std::string> addresses;
  size_t next = 0;
  std::vector<std::string> mailboxes;
  std::unordered_set<std::string> seen;
  Found found;
};

Directory::Directory(const Host& host, Loop* loop, Changed changed)
    : host_(host),
      loop_(loop),
      changed_(std::move(changed)),
      resolve_(host, "/imctl.auth.v1.Authenticator/Resolve"),
      watch_(host, "/imctl.auth.v1.Authenticator/Watch") {}

void Directory::begin() {
  {
    std::lock_guard lock(mutex_);
    stopping_ = false;
    pause_ = kFirstPause;
  }
  start_following();
}

void Directory::quiesce() {
  std::shared_ptr<WatchStream> stream;
  {
    std::lock_guard lock(mutex_);
    stopping_ = true;
    stream = stream_;
  }
  if (stream != nullptr) stream->cancel();
}

void Directory::wait() {
  std::unique_lock lock(mutex_);
  idle_.wait(lock, [this] { return !following_; });
}

size_t Directory::known() const {
  std::lock_guard lock(mutex_);
  return users_.size();
}

bool Directory::hears() const {
  std::lock_guard lock(mutex_);
  return hears_;
}

void Directory::find(std::vector<std::string> addresses, Found found) {
  auto made = std::make_shared<Search>();
  made->addresses = std::move(addresses);
  made->found = std::move(found);
  search(made);
}

// Goes on where it was until an answer has to be waited for.
void Directory::search(const std::shared_ptr<Search>& search) {
  for (;;) {
    if (search->next == search->addresses.size()) {
      return search->found(std::move(search->mailboxes));
    }
    const std::string address(without_device(search->addresses[search->next]));
    std::string user;
    uint64_t as_of = 0;
    {
      std::lock_guard lock(mutex_);
      user = look_up(address);
      as_of = changes_;
    }
    if (!user.empty()) {
      ++search->next;
      if (search->seen.insert(user).second) search->mailboxes.push_back(std::move(user));
      continue;
    }
    auth::v1::ResolveRequest request;
    request.set_user(address);
    request.set_lookup(true);
    ask(resolve_, request, timeout_,
        [this, search, address, as_of](const Result<auth::v1::Identity>& identity) {
          std::string user;
          if (identity.ok()) {
            user = identity->user();
            learn(as_of, address, user);
          } else if (identity.status().code() == IMCTL_UNIMPLEMENTED &&
                     address.find('@') != std::string::npos) {
            user = address;
          } else {
            const Status& status = identity.status();
            return search->found(status.code() == IMCTL_NOT_FOUND
                                     ? Status(IMCTL_NOT_FOUND, "there is no user " + address)
                                     : Status(status.code(), address + ": " + status.message()));
          }
          ++search->next;
          if (search->seen.insert(user).second) search->mailboxes.push_back(std::move(user));
          this->search(search);
        });
    return;
  }
}

void Directory::admit(const std::string& address,
                      std::function<void(Result<std::string> user)> admitted) {
  auth::v1::ResolveRequest request;
  request.set_user(address);
  ask(resolve_, request, timeout_,
      [address, admitted = std::move(admitted)](const Result<auth::v1::Identity>& identity) {
        if (identity.ok()) return admitted(identity->user());
        if (identity.status().code() == IMCTL_UNIMPLEMENTED &&
            address.find('@') != std::string::npos) {
          return admitted(address);
        }
        admitted(identity.status());
      });
}

std::string Directory::look_up(const std::string& address) const {
  if (!hears_) return {};
  auto name = names_.find(address);
  if (name == names_.end() || users_.count(name->second) == 0) return {};
  return name->second;
}

void Directory::learn(uint64_t as_of, const std::string& address, const std::string& user) {
  std::lock_guard lock(mutex_);
  if (!hears_ || as_of != changes_) return;
  if (names_.size() >= kMostNames) {
    names_.clear();
    users_.clear();
  }
  names_[address] = user;
  users_.insert(user);
}

void Directory::forget(const auth::v1::Change& change) {
  {
    std::lock_guard lock(mutex_);
    ++changes_;
    if (change.has_all()) {
      names_.clear();
      users_.clear();
    } else if (change.has_user()) {
      users_.erase(change.user());
    }
  }
  if (change.has_all()) changed_("");
  if (change.has_user()) changed_(change.user());
}

void Directory::forget_all(bool hears) {
  std::lock_guard lock(mutex_);
  ++changes_;
  names_.clear();
  users_.clear();
  hears_ = hears;
}

void Directory::start_following() {
  auth::v1::WatchRequest request;
  std::shared_ptr<WatchStream> stream;
  {
    std::lock_guard lock(mutex_);
    if (stopping_) return;
    following_ = true;
  }
  stream = std::make_shared<WatchStream>(watch_, CallOptions(), &request);
  bool stopping = false;
  {
    std::lock_guard lock(mutex_);
    stream_ = stream;
    stopping = stopping_;
  }
  if (stopping) stream->cancel();
  follow(std::move(stream));
}

imctl::detail::Detached Directory::follow(std::shared_ptr<WatchStream> stream) {
  bool heard = false;
  while (std::optional<auth::v1::Change> change = co_await stream->read()) {
    if (change->ready()) {
      heard = true;
      forget_all(true);
      // Who changed while nobody listened?
      changed_("");
    } else {
      forget(*change);
    }
  }
  Result<Buffer> end = co_await stream->finish();
  (void)end;
  stream.reset();
  if (heard) forget_all(false);
  Time pause = 0;
  {
    std::lock_guard lock(mutex_);
    stream_.reset();
    pause = heard ? kFirstPause : pause_;
    pause_ = std::min(2 * pause, kLongestPause);
  }
  loop_->post_at(Loop::now() + pause, [this](Time) { start_following(); });
  std::lock_guard lock(mutex_);
  following_ = false;
  idle_.notify_all();
}

}  // namespace imctl::router
