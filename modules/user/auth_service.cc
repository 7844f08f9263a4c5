#include "auth_service.h"

#include <algorithm>
#include <utility>

#include "imctl/retry.h"
#include "text.h"
#include "token_keeper.h"

namespace imctl::user {
namespace {

// Nobody's address: no normal form is without an @.
constexpr char kNobody[] = "nobody";

Status not_valid() {
  return {IMCTL_UNAUTHENTICATED, "the token does not hold: log in again (`imctl login`)"};
}

Status wrong() {
  return {IMCTL_UNAUTHENTICATED, "the user or the password is wrong, or the user may not come in"};
}

std::string until_words(const StoredUser& user) {
  if (user.disabled_until() == 0) return {};
  return ", for " + std::to_string(std::max<int64_t>(user.disabled_until() - unix_now(), 1)) +
         " more seconds";
}

Status wait_words(std::chrono::milliseconds wait) {
  const auto seconds = std::chrono::ceil<std::chrono::seconds>(wait).count();
  return retry_later(IMCTL_RESOURCE_EXHAUSTED,
                     "too many wrong passwords: try again in " + std::to_string(seconds) + " s",
                     wait);
}

auth::v1::Identity identity_of(const StoredUser& user) {
  auth::v1::Identity identity;
  identity.set_user(user.address());
  *identity.mutable_roles() = user.roles();
  return identity;
}

}  // namespace

AuthService::AuthService(Core* core, Module* module) : core_(core) {
  module->serve("/imctl.auth.v1.Authenticator/Authenticate", this, &AuthService::authenticate);
  module->serve("/imctl.auth.v1.Authenticator/Resolve", this, &AuthService::resolve);
  module->serve("/imctl.auth.v1.Authenticator/Watch", this, &AuthService::watch);
  module->serve("/imctl.auth.v1.Login/Login", this, &AuthService::login);
  module->serve("/imctl.auth.v1.Login/Logout", this, &AuthService::logout);
}

Task<Result<auth::v1::Identity>> AuthService::authenticate(
    const auth::v1::AuthenticateRequest& request, const Context& /*context*/) {
  Result<auth::v1::Identity> identity = co_await check_token(request.token());
  if (identity.ok()) {
    core_->tokens_good.add();
  } else if (identity.status().code() == IMCTL_UNAUTHENTICATED) {
    core_->tokens_bad.add();
  }
  co_return identity;
}

Task<Result<auth::v1::Identity>> AuthService::check_token(std::string token) {
  const std::optional<TokenText> text = TokenText::parse(token);
  if (!text) co_return not_valid();
  auto found = co_await core_->store.get<StoredToken>(kTokens, text->id);
  if (!found.ok()) co_return found.status();
  static const StoredToken kNone;
  const StoredToken& kept = *found ? (*found)->value : kNone;
  // Of an unknown id as of a known one.
  const std::string nothing(32, '\0');
  const bool same = same_hash(token_hash(text->secret), *found ? kept.hash() : nothing);
  if (!same || !*found) co_return not_valid();

  // From here on the caller has proved that the token is theirs.
  const int64_t now = unix_now();
  if (kept.expires() <= now) {
    co_return Status(IMCTL_UNAUTHENTICATED, "the token has expired: log in again (`imctl login`)");
  }
  auto user = co_await core_->store.get<StoredUser>(kUsers, kept.user());
  if (!user.ok()) co_return user.status();
  if (!*user || (*user)->value.uid() != kept.uid()) co_return not_valid();
  const StoredUser& who = (*user)->value;
  if (is_disabled(who, now)) {
    co_return Status(IMCTL_UNAUTHENTICATED, "user " + who.address() + " is disabled" +
                                                until_words(who) + ": ask an administrator");
  }
  auth::v1::Identity identity = identity_of(who);
  *identity.mutable_scope() = kept.scope();
  identity.set_credential(kept.id());
  set_time(kept.expires(), identity.mutable_expires());
  core_->last_seen.note(who.address(), who.uid(), now, core_->options()->last_seen.count());
  co_return identity;
}

Task<Result<auth::v1::Identity>> AuthService::resolve(const auth::v1::ResolveRequest& request,
                                                      const Context& /*context*/) {
  Result<std::string> address = core_->address(request.user());
  if (!address.ok()) co_return address.status();
  Result<Kept<StoredUser>> found = co_await find_user(&core_->store, *address);
  if (!found.ok()) co_return found.status();
  const StoredUser& who = found->value;
  if (request.lookup()) co_return identity_of(who);
  const int64_t now = unix_now();
  if (is_disabled(who, now)) {
    co_return Status(IMCTL_PERMISSION_DENIED, "user " + who.address() + " is disabled" +
                                                  until_words(who) + ": ask an administrator");
  }
  core_->last_seen.note(who.address(), who.uid(), now, core_->options()->last_seen.count());
  co_return identity_of(who);
}

Task<Status> AuthService::watch(const auth::v1::WatchRequest& /*request*/,
                                Writer<auth::v1::Change>& writer) {
  using End = Changes::Listener::End;
  std::shared_ptr<Changes::Listener> listener = core_->changes.listen();
  if (listener == nullptr) {
    co_return Status(IMCTL_UNAVAILABLE,
                     "changes of users cannot be heard of just now: watch again soon");
  }
  writer.on_cancel([listener](imctl_code) { listener->end(End::kGone); });
  writer.on_moving([listener] { listener->end(End::kMoving); });
  auth::v1::Change ready;
  ready.set_ready(true);
  bool open = co_await writer.write(ready);
  std::vector<auth::v1::Change> news;
  End end = End::kNo;
  while (open && end == End::kNo) {
    end = listener->take(&news);
    for (const auth::v1::Change& change : news) {
      if (open) open = co_await writer.write(change);
    }
    if (open && end == End::kNo && news.empty()) co_await listener->news();
  }
  core_->changes.leave(listener);
  if (end == End::kDeaf) {
    co_return Status(IMCTL_UNAVAILABLE, "changes of users are not heard of any more: watch again");
  }
  if (end == End::kMoving) {
    co_return Status(IMCTL_UNAVAILABLE,
                     "the module that keeps users stops or is replaced: watch again");
  }
  co_return Status(IMCTL_CANCELLED, "the caller went away");
}

Task<Result<AuthService::Proved>> AuthService::prove(std::string user, std::string password,
                                                     std::string peer) {
  const auto options = core_->options();
  Result<std::string> address = core_->address(user);
  // What has no normal form is counted by itself, and is nobody.
  const std::string account = address.ok() ? *address : kNobody + token_hash(user);
  const std::string network = network_of(peer);
  const auto now = Throttle::Clock::now();
  std::chrono::milliseconds wait = core_->accounts->begin(account, options->per_account, now);
  if (wait.count() > 0) {
    core_->logins_delayed.add();
    co_return wait_words(wait);
  }
  if (!network.empty()) wait = core_->addresses->begin(network, options->per_address, now);
  if (wait.count() > 0) {
    core_->accounts->went_well(account, false);
    core_->logins_delayed.add();
    co_return wait_words(wait);
  }
  auto no_attempt = [&] {
    core_->accounts->went_well(account, false);
    if (!network.empty()) core_->addresses->went_well(network, false);
  };
  const std::string key = address.ok() ? *address : kNobody;
  auto found = co_await core_->store.get<StoredUser>(kUsers, key);
  if (!found.ok()) {
    no_attempt();
    co_return found.status();
  }
  auto kept = co_await core_->store.get<StoredCredentials>(kCredentials, key);
  if (!kept.ok()) {
    no_attempt();
    co_return kept.status();
  }
  const bool known = *found && *kept && (*kept)->value.uid() == (*found)->value.uid();
  Credentials credentials;
  if (known) credentials = from_stored((*kept)->value);
  Result<std::string> prepared = prepare_password(password);
  const bool usable = known && prepared.ok() && !is_disabled((*found)->value, unix_now());
  std::string text = prepared.ok() ? *prepared : "not a password";
  Result<Fit> fit = co_await core_->hasher.check(text, credentials, options->passwords);
  if (!fit.ok()) {
    no_attempt();
    co_return fit.status();
  }
  if (*fit == Fit::kNo || !usable) {
    core_->logins_failed.add();
    co_return wrong();
  }
  core_->accounts->went_well(account, true);
  if (!network.empty()) core_->addresses->went_well(network, false);
  Proved proved{std::move(**found), (*kept)->revision};
  if (*fit == Fit::kOutdated) {
    Result<Credentials> better = co_await core_->hasher.make(text, options->passwords);
    if (better.ok()) {
      if (!better->scram_sha_1) better->scram_sha_1 = credentials.scram_sha_1;
      if (!better->scram_sha_256) better->scram_sha_256 = credentials.scram_sha_256;
      if (better->argon2id.empty()) better->argon2id = credentials.argon2id;
      storage::v1::CommitRequest write;
      add_put(&write, kCredentials, key,
              to_stored(*better, proved.user.value.uid()).SerializeAsString())
          ->set_revision(proved.credentials_revision);
      Result<storage::v1::CommitResponse> done = co_await core_->store.commit(std::move(write));
      // If not, the next login does it.
      if (done.ok()) proved.credentials_revision = done->revisions(0);
    }
  }
  co_return proved;
}

Task<Result<auth::v1::LoginResponse>> AuthService::login(const auth::v1::LoginRequest& request,
                                                         const Context& context) {
  const auto options = core_->options();
  if (Status status = check_text("device", request.device(), kMaxDevice); !status.ok()) {
    co_return status;
  }
  int64_t lifetime = options->token_lifetime.count();
  if (request.has_lifetime()) {
    if (request.lifetime().seconds() < 1) {
      co_return Status(IMCTL_INVALID_ARGUMENT, "lifetime: at least a second");
    }
    lifetime = std::min<int64_t>(lifetime, request.lifetime().seconds());
  }
  std::string peer(context.metadata("imctl-peer"));
  Result<Proved> proved = co_await prove(request.user(), request.password(), peer);
  if (!proved.ok()) co_return proved.status();
  const StoredUser& user = proved->user.value;
  NewToken wanted{user.address(), user.uid(), request.device(),   {}, lifetime,
                  user.address(), true,       options->max_tokens};
  Result<MadeToken> made = co_await make_token(&core_->store, wanted);
  if (!made.ok()) co_return made.status();
  // A password that was changed meanwhile ends all tokens, and may not have seen this one.
  auto kept = co_await core_->store.get<StoredCredentials>(kCredentials, user.address());
  if (!kept.ok() || !*kept || (*kept)->revision != proved->credentials_revision) {
    std::vector<std::string> mine{made->text.id};
    (void)co_await core_->store.remove(kTokens, std::move(mine));
    if (!kept.ok()) co_return kept.status();
    co_return wrong();
  }
  core_->logins_ok.add();
  core_->last_seen.note(user.address(), user.uid(), unix_now(), options->last_seen.count());
  auth::v1::LoginResponse response;
  response.set_token(made->text.text());
  response.set_id(made->text.id);
  response.set_user(user.address());
  set_time(made->expires, response.mutable_expires());
  co_return response;
}

Task<Result<auth::v1::LogoutResponse>> AuthService::logout(
    const auth::v1::LogoutRequest& /*request*/, const Context& context) {
  std::string id(context.metadata("imctl-credential"));
  if (id.empty()) {
    co_return Status(IMCTL_FAILED_PRECONDITION,
                     "this call is not made with a token: there is nothing to end");
  }
  std::vector<std::string> mine{std::move(id)};
  Result<uint64_t> removed = co_await core_->store.remove(kTokens, std::move(mine));
  if (!removed.ok()) co_return removed.status();
  co_return auth::v1::LogoutResponse();
}

}  // namespace imctl::user
