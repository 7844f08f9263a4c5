#include "tokens_service.h"

#include <algorithm>
#include <utility>

#include "text.h"
#include "token_keeper.h"

namespace imctl::user {
namespace {

constexpr int kMaxScope = 64;

Status bad(const std::string& text) { return {IMCTL_INVALID_ARGUMENT, text}; }

Status no_such_token(const std::string& id) {
  return {IMCTL_NOT_FOUND, "there is no token " + quoted(id) + " of that user: `imctl token list`"};
}

}  // namespace

TokensService::TokensService(Core* core, Module* module) : core_(core) {
  module->serve("/imctl.user.v1.Tokens/Create", this, &TokensService::create);
  module->serve("/imctl.user.v1.Tokens/List", this, &TokensService::list);
  module->serve("/imctl.user.v1.Tokens/Revoke", this, &TokensService::revoke);
}

Task<Result<std::vector<std::string>>> TokensService::allowed_scope(std::vector<std::string> wanted,
                                                                    std::string credential) {
  if (credential.empty()) co_return wanted;
  auto found = co_await core_->store.get<StoredToken>(kTokens, credential);
  if (!found.ok()) co_return found.status();
  if (!*found)
    co_return Status(IMCTL_PERMISSION_DENIED, "the token of this call does not hold any more");
  const auto& mine = (*found)->value.scope();
  if (mine.empty()) co_return wanted;
  if (wanted.empty()) co_return std::vector<std::string>(mine.begin(), mine.end());
  for (const std::string& entry : wanted) {
    if (std::find(mine.begin(), mine.end(), entry) == mine.end()) {
      co_return Status(IMCTL_PERMISSION_DENIED,
                       "scope: " + quoted(entry) +
                           " is not in the scope of the token that this call is made with");
    }
  }
  co_return wanted;
}

// Seconds that the token of the call still holds: it makes none that holds longer.
Task<int64_t> TokensService::left_of(const Context& context) {
  const std::string credential(context.metadata("imctl-credential"));
  if (credential.empty()) co_return kMaxTime;
  auto found = co_await core_->store.get<StoredToken>(kTokens, credential);
  if (!found.ok() || !*found || (*found)->value.expires() == 0) co_return kMaxTime;
  co_return std::max<int64_t>(1, (*found)->value.expires() - unix_now());
}

Task<Result<v1::CreateTokenResponse>> TokensService::create(const v1::CreateTokenRequest& request,
                                                            const Context& context) {
  const auto options = core_->options();
  Result<std::string> address = core_->address(request.user());
  if (!address.ok()) co_return address.status();
  if (Status status = check_text("device", request.device(), kMaxDevice); !status.ok()) {
    co_return status;
  }
  if (request.scope_size() > kMaxScope) {
    co_return bad("scope: at most " + std::to_string(kMaxScope) + " entries");
  }
  for (const std::string& entry : request.scope()) {
    if (Status status = check_scope(entry); !status.ok()) co_return status;
  }
  const bool is_user = context.principal_kind() == IMCTL_PRINCIPAL_USER;
  int64_t lifetime = options->token_lifetime.count();
  if (request.has_lifetime()) {
    const int64_t asked = request.lifetime().seconds();
    if (asked < 1 || asked > kMaxTime - unix_now()) {
      co_return bad("lifetime: at least a second, and not beyond the year 9999");
    }
    if (is_user && asked > lifetime) {
      co_return bad("lifetime: at most " + std::to_string(lifetime) +
                    "s (token_lifetime in section [user])");
    }
    lifetime = asked;
  }
  Result<Kept<StoredUser>> user = co_await find_user(&core_->store, *address);
  if (!user.ok()) co_return user.status();
  std::vector<std::string> asked_scope(request.scope().begin(), request.scope().end());
  std::string credential =
      is_user ? std::string(context.metadata("imctl-credential")) : std::string();
  Result<std::vector<std::string>> scope =
      co_await allowed_scope(std::move(asked_scope), std::move(credential));
  if (!scope.ok()) co_return scope.status();
  if (is_user) lifetime = std::min(lifetime, co_await left_of(context));
  v1::CreateTokenResponse response;
  if (context.dry_run()) {
    set_time(unix_now() + lifetime, response.mutable_expires());
    co_return response;
  }
  NewToken wanted{*address,
                  user->value.uid(),
                  request.device(),
                  std::move(*scope),
                  lifetime,
                  std::string(context.principal()),
                  false,
                  options->max_tokens};
  Result<MadeToken> made = co_await make_token(&core_->store, wanted);
  if (!made.ok()) co_return made.status();
  response.set_token(made->text.text());
  response.set_id(made->text.id);
  set_time(made->expires, response.mutable_expires());
  co_return response;
}

Task<Result<v1::ListTokensResponse>> TokensService::list(const v1::ListTokensRequest& request,
                                                         const Context& /*context*/) {
  Result<std::string> address = core_->address(request.user());
  if (!address.ok()) co_return address.status();
  Result<Kept<StoredUser>> user = co_await find_user(&core_->store, *address);
  if (!user.ok()) co_return user.status();
  Result<std::vector<StoredToken>> tokens = co_await tokens_of(&core_->store, *address);
  if (!tokens.ok()) co_return tokens.status();
  v1::ListTokensResponse response;
  for (const StoredToken& token : *tokens) {
    if (token.uid() == user->value.uid()) *response.add_tokens() = to_message(token);
  }
  co_return response;
}

Task<Result<v1::RevokeTokenResponse>> TokensService::revoke(const v1::RevokeTokenRequest& request,
                                                            const Context& context) {
  std::string owner;
  if (!request.user().empty()) {
    Result<std::string> address = core_->address(request.user());
    if (!address.ok()) co_return address.status();
    owner = *address;
  }
  if (!is_token_id(request.id())) {
    // Somebody may have given the token itself, which must not be repeated.
    co_return bad("id: it is no token's id, which are 24 characters of 0-9 and a-f");
  }
  auto found = co_await core_->store.get<StoredToken>(kTokens, request.id());
  if (!found.ok()) co_return found.status();
  if (!*found || (!owner.empty() && (*found)->value.user() != owner)) {
    co_return no_such_token(request.id());
  }
  v1::RevokeTokenResponse response;
  response.set_id(request.id());
  response.set_user((*found)->value.user());
  if (context.dry_run()) co_return response;
  std::vector<std::string> ids{request.id()};
  Result<uint64_t> removed = co_await core_->store.remove(kTokens, std::move(ids));
  if (!removed.ok()) co_return removed.status();
  co_return response;
}

}  // namespace imctl::user
