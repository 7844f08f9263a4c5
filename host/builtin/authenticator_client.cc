#include "builtin/authenticator_client.h"

#include <chrono>
#include <utility>

#include "core/host.h"

namespace imctl::host {
namespace {

constexpr std::chrono::seconds kAnswer{10};
constexpr std::chrono::milliseconds kPause{250};
// Nobody may serve it; a module that comes to do so wakes us.
constexpr std::chrono::seconds kLongPause{5};

}  // namespace

Person person_of(const auth::v1::Identity& identity) {
  Person person{identity.user(),
                {identity.roles().begin(), identity.roles().end()},
                {identity.scope().begin(), identity.scope().end()},
                std::nullopt,
                identity.credential()};
  if (identity.has_expires()) {
    person.ends = std::chrono::system_clock::time_point(
        std::chrono::duration_cast<std::chrono::system_clock::duration>(
            std::chrono::seconds(identity.expires().seconds()) +
            std::chrono::nanoseconds(identity.expires().nanos())));
  }
  return person;
}

AuthenticatorClient::AuthenticatorClient(const imctl::Host& handle, Host& host)
    : host_(host),
      authenticate_(handle, "/imctl.auth.v1.Authenticator/Authenticate"),
      resolve_(handle, "/imctl.auth.v1.Authenticator/Resolve"),
      watch_(handle, "/imctl.auth.v1.Authenticator/Watch") {}

void AuthenticatorClient::start() { watch(shared_from_this()); }

void AuthenticatorClient::stop() {
  std::shared_ptr<Changes> open;
  {
    std::lock_guard lock(mutex_);
    stopped_ = true;
    open = open_;
  }
  if (open != nullptr) open->cancel();  // what reads from it may go on here
  wake();
}

bool AuthenticatorClient::stopped() const {
  std::lock_guard lock(mutex_);
  return stopped_;
}

void AuthenticatorClient::wake() { woken_->set(); }

void AuthenticatorClient::ask(const AccessControl::Question& question,
                              std::function<void(Result<Person>)> answer) {
  [](Self self, AccessControl::Question asked,
     std::function<void(Result<Person>)> tell) -> imctl::detail::Detached {
    Result<auth::v1::Identity> identity = Status();
    CallOptions options;
    options.timeout = kAnswer;
    if (asked.token.empty()) {
      auth::v1::ResolveRequest request;
      request.set_user(asked.user);
      identity = co_await self->resolve_(request, options);
    } else {
      auth::v1::AuthenticateRequest request;
      request.set_token(asked.token);
      request.set_peer(asked.peer);
      identity = co_await self->authenticate_(request, options);
    }
    if (!identity.ok()) {
      tell(identity.status());
    } else if (identity->user().empty()) {
      tell(Status(IMCTL_INTERNAL, "the authenticator names nobody"));
    } else {
      tell(person_of(*identity));
    }
  }(shared_from_this(), question, std::move(answer));
}

imctl::detail::Detached AuthenticatorClient::watch(Self self) {
  while (!self->stopped()) {
    co_await self->listen();
    if (std::exchange(self->told_, false)) self->host_.access().set_watching(false);
    if (self->stopped()) break;
    const bool served =
        self->host_.modules().view()->providers.count("imctl.auth.v1.Authenticator") != 0;
    const std::chrono::nanoseconds pause = served ? std::chrono::nanoseconds(kPause) : kLongPause;
    self->host_.timer().at(monotonic_now() + pause.count(),
                           [woken = self->woken_] { woken->set(); });
    co_await *self->woken_;
  }
}

Task<void> AuthenticatorClient::listen() {
  auth::v1::WatchRequest request;
  auto changes = std::make_shared<Changes>(watch_, CallOptions(), &request);
  {
    std::lock_guard lock(mutex_);
    open_ = changes;
  }
  if (stopped()) changes->cancel();
  while (std::optional<auth::v1::Change> change = co_await changes->read()) take(*change);
  {
    std::lock_guard lock(mutex_);
    open_ = nullptr;
  }
  Result<Buffer> ended = co_await changes->finish();
  if (!ended.ok() && told_ && !stopped()) {
    host_.log().info(
        "changes of users and tokens are not told just now, so each call is asked for: " +
        ended.status().message());
  }
}

void AuthenticatorClient::take(const auth::v1::Change& change) {
  AccessControl& access = host_.access();
  switch (change.whose_case()) {
    case auth::v1::Change::kReady:
      told_ = true;
      access.set_watching(true);
      break;
    case auth::v1::Change::kUser: access.user_changed(change.user()); break;
    case auth::v1::Change::kCredential: access.credential_changed(change.credential()); break;
    // What this host does not know yet may concern anybody.
    case auth::v1::Change::kAll:
    case auth::v1::Change::WHOSE_NOT_SET: access.all_changed(); break;
  }
}

}  // namespace imctl::host
