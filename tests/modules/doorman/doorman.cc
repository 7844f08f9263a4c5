// Knows whoever it was told of.
#include <list>
#include <map>
#include <memory>
#include <mutex>
#include <string>

#include "doorman.pb.h"
#include "imctl/auth/v1/authenticator.pb.h"
#include "imctl/sdk.h"

namespace imctl::test {
namespace {

namespace v1 = imctl::test::doorman::v1;
namespace auth = imctl::auth::v1;

class Doorman : public Module {
 public:
  explicit Doorman(const Host& host)
      : Module(host), admin_(host, "/imctl.test.doorman.v1.Doors/Admin") {
    serve("/imctl.auth.v1.Authenticator/Authenticate", &Doorman::authenticate);
    serve("/imctl.auth.v1.Authenticator/Resolve", &Doorman::resolve);
    serve("/imctl.auth.v1.Authenticator/Watch", &Doorman::watch);
    serve("/imctl.test.doorman.v1.Book/Set", &Doorman::set);
    serve("/imctl.test.doorman.v1.Book/Watching", &Doorman::watching);
    serve("/imctl.test.doorman.v1.Book/Asked", &Doorman::asked);
    for (const char* door : {"Admin", "User", "Self", "Node", "Public"}) {
      names_.push_back(std::string("/imctl.test.doorman.v1.Doors/") + door);
      serve(names_.back().c_str(), &Doorman::enter);
    }
    for (const char* door : {"StayUser", "StaySelf", "StayAdmin"}) {
      names_.push_back(std::string("/imctl.test.doorman.v1.Doors/") + door);
      serve(names_.back().c_str(), &Doorman::stay);
    }
    serve("/imctl.test.doorman.v1.Doors/Through", &Doorman::through);
  }

  Status quiesce() override {
    end_watches();
    return {};
  }

 private:
  struct Watcher {
    Event changed;
    std::mutex mutex;
    std::list<auth::Change> changes;
    bool over = false;
  };

  Result<auth::Identity> find(const std::string& key) {
    auto guest = guests_.find(key);
    if (guest == guests_.end()) return Status(IMCTL_UNAUTHENTICATED, "nobody knows you");
    if (guest->second.refused() != 0) {
      return Status(static_cast<imctl_code>(guest->second.refused()), "the book says so");
    }
    auth::Identity identity;
    identity.set_user(guest->second.user());
    *identity.mutable_roles() = guest->second.roles();
    *identity.mutable_scope() = guest->second.scope();
    if (guest->second.has_expires()) *identity.mutable_expires() = guest->second.expires();
    if (!guest->second.token().empty()) identity.set_credential("c-" + guest->second.token());
    return identity;
  }
  Result<auth::Identity> authenticate(const auth::AuthenticateRequest& request, const Context&) {
    std::lock_guard lock(mutex_);
    counts_.set_authenticate(counts_.authenticate() + 1);
    return find("token " + request.token());
  }
  Result<auth::Identity> resolve(const auth::ResolveRequest& request, const Context&) {
    std::lock_guard lock(mutex_);
    counts_.set_resolve(counts_.resolve() + 1);
    return find("name " + request.user());
  }

  Task<Status> watch(const auth::WatchRequest&, Writer<auth::Change>& writer) {
    auto watcher = std::make_shared<Watcher>();
    writer.on_cancel([watcher](imctl_code) {
      {
        std::lock_guard lock(watcher->mutex);
        watcher->over = true;
      }
      watcher->changed.set();
    });
    {
      std::lock_guard lock(mutex_);
      if (!up_) co_return Status(IMCTL_UNAVAILABLE, "not watching");
      watchers_.push_back(watcher);
      counts_.set_watchers(watchers_.size());
    }
    auth::Change ready;
    ready.set_ready(true);
    bool open = co_await writer.write(ready);
    while (open) {
      auth::Change change;
      {
        std::lock_guard lock(watcher->mutex);
        if (watcher->over) break;
        if (!watcher->changes.empty()) {
          change = watcher->changes.front();
          watcher->changes.pop_front();
        }
      }
      if (change.whose_case() == auth::Change::WHOSE_NOT_SET) {
        co_await watcher->changed;
      } else {
        open = co_await writer.write(change);
      }
    }
    std::lock_guard lock(mutex_);
    watchers_.remove(watcher);
    counts_.set_watchers(watchers_.size());
    co_return Status(IMCTL_UNAVAILABLE, "the watch ended");
  }

  Result<v1::Nothing> set(const v1::Guest& guest, const Context&) {
    std::list<std::shared_ptr<Watcher>> watchers;
    {
      std::lock_guard lock(mutex_);
      if (!guest.silent()) watchers = watchers_;
      guests_[guest.token().empty() ? "name " + guest.name() : "token " + guest.token()] = guest;
    }
    // The host may ask again at once, on this thread.
    for (const auto& watcher : watchers) {
      {
        std::lock_guard watcher_lock(watcher->mutex);
        watcher->changes.emplace_back().set_user(guest.user());
      }
      watcher->changed.set();
    }
    return v1::Nothing();
  }
  Result<v1::Nothing> watching(const v1::Up& up, const Context&) {
    {
      std::lock_guard lock(mutex_);
      up_ = up.up();
    }
    if (!up.up()) end_watches();
    return v1::Nothing();
  }
  Result<v1::Count> asked(const v1::Nothing&, const Context&) {
    std::lock_guard lock(mutex_);
    return counts_;
  }
  void end_watches() {
    std::list<std::shared_ptr<Watcher>> watchers;
    {
      std::lock_guard lock(mutex_);
      watchers = watchers_;
    }
    for (const auto& watcher : watchers) {
      {
        std::lock_guard lock(watcher->mutex);
        watcher->over = true;
      }
      watcher->changed.set();
    }
  }

  static v1::Seen seen(const Context& context) {
    v1::Seen seen;
    seen.set_principal(std::string(context.principal()));
    seen.set_kind(context.principal_kind());
    seen.set_peer(std::string(context.metadata("imctl-peer")));
    seen.set_credential(std::string(context.metadata("imctl-credential")));
    seen.set_authorization(std::string(context.metadata("authorization")));
    return seen;
  }
  Result<v1::Seen> enter(const v1::Owned&, const Context& context) { return seen(context); }
  Task<Status> stay(const v1::Owned&, Writer<v1::Seen>& writer) {
    auto gone = std::make_shared<Event>();
    writer.on_cancel([gone](imctl_code) { gone->set(); });
    if (co_await writer.write(seen(writer.context()))) co_await *gone;
    co_return Status(IMCTL_CANCELLED, "it was left");
  }
  Task<Result<v1::Seen>> through(const v1::Owned& request, const Context& context) {
    CallOptions options;
    options.parent = &context;
    co_return co_await admin_(request, options);
  }

  const Method<v1::Owned, v1::Seen> admin_;
  std::list<std::string> names_;
  std::mutex mutex_;
  std::map<std::string, v1::Guest> guests_;
  std::list<std::shared_ptr<Watcher>> watchers_;
  v1::Count counts_;
  bool up_ = true;
};

}  // namespace
}  // namespace imctl::test

IMCTL_MODULE(imctl::test::Doorman)
