#include "users_service.h"

#include <algorithm>
#include <utility>

#include "import_line.h"
#include "text.h"
#include "token_keeper.h"

namespace imctl::user {
namespace {

Status bad(const std::string& text) { return {IMCTL_INVALID_ARGUMENT, text}; }

Status check_time(int64_t seconds) {
  if (seconds > 0 && seconds <= kMaxTime) return {};
  return bad("until: it is no time between 1970 and 9999");
}

}  // namespace

UsersService::UsersService(Core* core, AuthService* auth, Module* module)
    : core_(core), auth_(auth) {
  module->serve("/imctl.user.v1.Users/Add", this, &UsersService::add);
  module->serve("/imctl.user.v1.Users/Get", this, &UsersService::get);
  module->serve("/imctl.user.v1.Users/List", this, &UsersService::list);
  module->serve("/imctl.user.v1.Users/Dump", this, &UsersService::dump);
  module->serve("/imctl.user.v1.Users/Set", this, &UsersService::set);
  module->serve("/imctl.user.v1.Users/Disable", this, &UsersService::disable);
  module->serve("/imctl.user.v1.Users/Enable", this, &UsersService::enable);
  module->serve("/imctl.user.v1.Users/Delete", this, &UsersService::remove);
  module->serve("/imctl.user.v1.Users/SetPassword", this, &UsersService::set_password);
  module->serve("/imctl.user.v1.Users/Export", this, &UsersService::export_user);
  module->serve("/imctl.user.v1.Users/GrantRoles", this, &UsersService::grant);
  module->serve("/imctl.user.v1.Users/RevokeRoles", this, &UsersService::revoke);
}

Task<Result<v1::User>> UsersService::add(const v1::AddUserRequest& request,
                                         const Context& context) {
  Result<std::string> address = core_->address(request.user());
  if (!address.ok()) co_return address.status();
  const auto options = core_->options();
  const int64_t now = unix_now();
  StoredUser user;
  user.set_address(*address);
  user.set_uid(random_uid());
  user.set_display_name(request.display_name());
  *user.mutable_attributes() = request.attributes();
  for (const std::string& role : request.roles()) {
    const auto& all = user.roles();
    if (std::find(all.begin(), all.end(), role) == all.end()) user.add_roles(role);
  }
  user.set_created(now);
  user.set_updated(now);
  if (Status status = check_profile(user); !status.ok()) co_return status;
  std::string password;
  if (!request.password().empty()) {
    Result<std::string> prepared = prepare_new_password(request.password(), options->passwords);
    if (!prepared.ok()) co_return prepared.status();
    password = std::move(*prepared);
  }
  std::optional<Credentials> credentials;
  for (int i = 0; i < kTries; ++i) {
    auto there = co_await core_->store.get<StoredUser>(kUsers, *address);
    if (!there.ok()) co_return there.status();
    if (*there) {
      co_return Status(IMCTL_ALREADY_EXISTS,
                       "there is a user " + *address + " already: `imctl user set` changes them");
    }
    auto tombstone = co_await core_->store.get<StoredTombstone>(kTombstones, *address);
    if (!tombstone.ok()) co_return tombstone.status();
    if (Status status = may_be_added(*tombstone, *address, request.reuse()); !status.ok()) {
      co_return status;
    }
    if (context.dry_run()) co_return to_message(user, 0, now);
    if (!password.empty() && !credentials) {
      Result<Credentials> made = co_await core_->hasher.make(password, options->passwords);
      if (!made.ok()) co_return made.status();
      credentials = std::move(*made);
    }
    storage::v1::CommitRequest write;
    storage::v1::PutRecordRequest* put = write.add_writes()->mutable_put();
    fill_put(user, put);
    put->set_create(true);
    if (credentials) {
      add_put(&write, kCredentials, *address,
              to_stored(*credentials, user.uid()).SerializeAsString());
    }
    if (*tombstone) add_delete(&write, kTombstones, *address, (*tombstone)->revision);
    Result<storage::v1::CommitResponse> done = co_await core_->store.commit(std::move(write));
    if (done.ok()) co_return to_message(user, done->revisions(0), now);
    if (!is_conflict(done.status())) co_return done.status();
  }
  co_return too_busy();
}

Task<Result<v1::User>> UsersService::get(const v1::GetUserRequest& request,
                                         const Context& /*context*/) {
  Result<std::string> address = core_->address(request.user());
  if (!address.ok()) co_return address.status();
  Result<Kept<StoredUser>> found = co_await find_user(&core_->store, *address);
  if (!found.ok()) co_return found.status();
  v1::User user = to_message(found->value, found->revision, unix_now());
  auto seen = co_await core_->store.get<StoredLastSeen>(kLastSeen, *address);
  if (!seen.ok()) co_return seen.status();
  if (*seen && (*seen)->value.uid() == found->value.uid()) {
    set_time((*seen)->value.time(), user.mutable_last_seen());
  }
  co_return user;
}

Task<Status> UsersService::list(const v1::ListUsersRequest& request, Writer<v1::User>& writer) {
  storage::v1::ListRecordsRequest pages;
  pages.set_collection(kUsers);
  pages.set_limit(kPage);
  const std::string prefix = normalise_prefix(request.prefix());
  if (!request.attribute().empty()) {
    const size_t equals = request.attribute().find('=');
    if (equals == std::string::npos || equals == 0 || equals > kMaxAttributeName ||
        request.attribute().size() > kMaxAttributeName + 1 + kMaxAttributeValue) {
      co_return bad("attribute: write NAME=VALUE");
    }
    pages.mutable_index()->set_name("a." + request.attribute().substr(0, equals));
    pages.mutable_index()->set_value(request.attribute().substr(equals + 1));
  } else if (request.state() == v1::STATE_DISABLED) {
    pages.mutable_index()->set_name("state");
    pages.mutable_index()->set_value("disabled");
  } else {
    pages.set_prefix(prefix);
  }
  if (!v1::State_IsValid(request.state())) co_return bad("state: active or disabled");
  if (!request.after().empty()) {
    Result<std::string> after = core_->address(request.after());
    if (!after.ok()) co_return bad("after: " + after.status().message());
    pages.set_after(*after);
  }
  uint64_t left = request.limit() == 0 ? UINT64_MAX : request.limit();
  for (;;) {
    Result<storage::v1::ListRecordsResponse> page = co_await core_->store.list(pages);
    if (!page.ok()) co_return page.status();
    const int64_t now = unix_now();
    for (const storage::v1::Record& record : page->records()) {
      StoredUser user;
      if (!user.ParseFromString(record.value())) continue;
      const v1::State state = is_disabled(user, now) ? v1::STATE_DISABLED : v1::STATE_ACTIVE;
      if (request.state() != v1::STATE_UNSPECIFIED && request.state() != state) continue;
      if (record.key().compare(0, prefix.size(), prefix) != 0) continue;
      v1::User message = to_message(user, record.revision(), now);
      if (!co_await writer.write(message))
        co_return Status(IMCTL_CANCELLED, "the caller went away");
      if (--left == 0) co_return Status();
    }
    if (page->next_page_token().empty()) co_return Status();
    pages.set_page_token(page->next_page_token());
    pages.clear_after();
  }
}

Task<Status> UsersService::dump(const v1::DumpUsersRequest& request,
                                Writer<v1::ImportLine>& writer) {
  storage::v1::ListRecordsRequest pages;
  pages.set_collection(kUsers);
  pages.set_limit(kPage);
  pages.set_prefix(normalise_prefix(request.prefix()));
  if (!request.after().empty()) {
    Result<std::string> after = core_->address(request.after());
    if (!after.ok()) co_return bad("after: " + after.status().message());
    pages.set_after(*after);
  }
  for (;;) {
    Result<storage::v1::ListRecordsResponse> page = co_await core_->store.list(pages);
    if (!page.ok()) co_return page.status();
    const int64_t now = unix_now();
    for (const storage::v1::Record& record : page->records()) {
      StoredUser user;
      if (!user.ParseFromString(record.value())) continue;
      auto kept = co_await core_->store.get<StoredCredentials>(kCredentials, record.key());
      if (!kept.ok()) co_return kept.status();
      Credentials credentials;
      if (*kept && (*kept)->value.uid() == user.uid()) credentials = from_stored((*kept)->value);
      const v1::ImportLine line = to_line(user, credentials, now);
      if (!co_await writer.write(line)) {
        co_return Status(IMCTL_CANCELLED, "the caller went away");
      }
    }
    if (page->next_page_token().empty()) co_return Status();
    pages.set_page_token(page->next_page_token());
    pages.clear_after();
  }
}

Task<Result<v1::User>> UsersService::edit(std::string user, uint64_t revision, bool dry_run,
                                          std::function<Status(StoredUser*)> change) {
  Result<std::string> address = core_->address(user);
  if (!address.ok()) co_return address.status();
  Result<Kept<StoredUser>> changed =
      co_await edit_user(&core_->store, *address, revision, dry_run, std::move(change));
  if (!changed.ok()) co_return changed.status();
  co_return to_message(changed->value, changed->revision, unix_now());
}

Task<Result<v1::User>> UsersService::set(const v1::SetUserRequest& request,
                                         const Context& context) {
  std::function<Status(StoredUser*)> change = [&request](StoredUser* user) {
    if (request.has_display_name()) user->set_display_name(request.display_name());
    for (const std::string& name : request.remove_attributes()) {
      user->mutable_attributes()->erase(name);
    }
    for (const auto& [name, value] : request.attributes()) {
      (*user->mutable_attributes())[name] = value;
    }
    return Status();
  };
  Result<v1::User> user =
      co_await edit(request.user(), request.revision(), context.dry_run(), std::move(change));
  co_return user;
}

Task<Result<v1::User>> UsersService::disable(const v1::DisableUserRequest& request,
                                             const Context& context) {
  const int64_t now = unix_now();
  int64_t until = 0;
  if (request.has_until()) until = request.until().seconds();
  if (request.has_for_()) {
    if (request.for_().seconds() > kMaxTime) co_return bad("for: it is too long");
    until = now + request.for_().seconds();
  }
  if (request.end_case() != v1::DisableUserRequest::END_NOT_SET) {
    if (Status status = check_time(until); !status.ok()) co_return status;
    if (until <= now) co_return bad("until: that time is over");
  }
  std::string by(context.principal());
  std::function<Status(StoredUser*)> change = [&request, now, until, by](StoredUser* user) {
    const bool was = is_disabled(*user, now);
    if (!was) user->set_disabled_at(now);
    user->set_disabled(true);
    user->set_disabled_reason(request.reason());
    user->set_disabled_by(by);
    user->set_disabled_until(until);
    return Status();
  };
  Result<v1::User> user = co_await edit(request.user(), 0, context.dry_run(), std::move(change));
  co_return user;
}

Task<Result<v1::User>> UsersService::enable(const v1::EnableUserRequest& request,
                                            const Context& context) {
  std::function<Status(StoredUser*)> change = [](StoredUser* user) {
    user::enable(user);
    return Status();
  };
  Result<v1::User> user = co_await edit(request.user(), 0, context.dry_run(), std::move(change));
  co_return user;
}

Task<Result<v1::User>> UsersService::grant(const v1::GrantRolesRequest& request,
                                           const Context& context) {
  if (request.roles().empty()) co_return bad("roles: name at least one");
  std::function<Status(StoredUser*)> change = [&request](StoredUser* user) {
    for (const std::string& role : request.roles()) {
      const auto& all = user->roles();
      if (std::find(all.begin(), all.end(), role) == all.end()) user->add_roles(role);
    }
    return Status();
  };
  Result<v1::User> user = co_await edit(request.user(), 0, context.dry_run(), std::move(change));
  co_return user;
}

Task<Result<v1::User>> UsersService::revoke(const v1::RevokeRolesRequest& request,
                                            const Context& context) {
  if (request.roles().empty()) co_return bad("roles: name at least one");
  std::function<Status(StoredUser*)> change = [&request](StoredUser* user) {
    auto* all = user->mutable_roles();
    all->erase(std::remove_if(all->begin(), all->end(),
                              [&](const std::string& role) {
                                const auto& gone = request.roles();
                                return std::find(gone.begin(), gone.end(), role) != gone.end();
                              }),
               all->end());
    return Status();
  };
  Result<v1::User> user = co_await edit(request.user(), 0, context.dry_run(), std::move(change));
  co_return user;
}

Task<Result<v1::SetPasswordResponse>> UsersService::set_password(
    const v1::SetPasswordRequest& request, const Context& context) {
  Result<std::string> address = core_->address(request.user());
  if (!address.ok()) co_return address.status();
  const auto options = core_->options();
  Result<std::string> prepared = prepare_new_password(request.password(), options->passwords);
  if (!prepared.ok()) co_return prepared.status();
  // The dispatcher lets users only at themselves, unless a role gives them this method.
  const bool own =
      context.principal_kind() == IMCTL_PRINCIPAL_USER && context.principal() == *address;
  if (own) {
    Result<AuthService::Proved> proved =
        co_await auth_->prove(*address, request.old_password(), std::string());
    if (!proved.ok() && proved.status().code() == IMCTL_UNAUTHENTICATED) {
      co_return Status(IMCTL_PERMISSION_DENIED,
                       "old_password: it is wrong; without it an administrator can set another");
    }
    if (!proved.ok()) co_return proved.status();
  }
  Result<Kept<StoredUser>> user = co_await find_user(&core_->store, *address);
  if (!user.ok()) co_return user.status();
  v1::SetPasswordResponse response;
  response.set_user(*address);
  if (context.dry_run()) co_return response;
  Result<Credentials> made = co_await core_->hasher.make(*prepared, options->passwords);
  if (!made.ok()) co_return made.status();
  storage::v1::CommitRequest write;
  add_put(&write, kCredentials, *address, to_stored(*made, user->value.uid()).SerializeAsString());
  Result<storage::v1::CommitResponse> done = co_await core_->store.commit(std::move(write));
  if (!done.ok()) co_return Store::unavailable(done.status());
  if (!own) core_->accounts->went_well(*address, true);
  for (const std::string& name : made->names()) response.add_credentials(name);
  if (!request.keep_tokens()) {
    std::string but = own ? std::string(context.metadata("imctl-credential")) : std::string();
    Result<uint64_t> removed = co_await remove_tokens(&core_->store, *address, but);
    if (!removed.ok()) co_return removed.status();
    response.set_tokens_revoked(static_cast<uint32_t>(*removed));
  }
  co_return response;
}

Task<Result<StoredTombstone>> UsersService::bury(std::string address, std::string by) {
  for (int i = 0; i < kTries; ++i) {
    auto user = co_await core_->store.get<StoredUser>(kUsers, address);
    if (!user.ok()) co_return user.status();
    auto tombstone = co_await core_->store.get<StoredTombstone>(kTombstones, address);
    if (!tombstone.ok()) co_return tombstone.status();
    auto credentials = co_await core_->store.get<StoredCredentials>(kCredentials, address);
    if (!credentials.ok()) co_return credentials.status();
    if (!*user) {
      if (*tombstone) co_return (*tombstone)->value;
      co_return no_such_user(address);
    }
    StoredTombstone made;
    made.set_address(address);
    made.set_uid((*user)->value.uid());
    made.set_deleted(unix_now());
    made.set_deleted_by(by);
    storage::v1::CommitRequest write;
    add_delete(&write, kUsers, address, (*user)->revision);
    if (*credentials) add_delete(&write, kCredentials, address, (*credentials)->revision);
    add_put(&write, kTombstones, address, made.SerializeAsString());
    Result<storage::v1::CommitResponse> done = co_await core_->store.commit(std::move(write));
    if (done.ok()) co_return made;
    if (!is_conflict(done.status())) co_return done.status();
  }
  co_return too_busy();
}

Task<Result<v1::DeleteUserResponse>> UsersService::remove(const v1::DeleteUserRequest& request,
                                                          const Context& context) {
  Result<std::string> address = core_->address(request.user());
  if (!address.ok()) co_return address.status();
  v1::DeleteUserResponse response;
  response.set_user(*address);
  auto there = co_await core_->store.get<StoredUser>(kUsers, *address);
  if (!there.ok()) co_return there.status();
  response.set_removed(there->has_value());
  std::optional<StoredTombstone> buried;
  if (context.dry_run()) {
    auto tombstone = co_await core_->store.get<StoredTombstone>(kTombstones, *address);
    if (!tombstone.ok()) co_return tombstone.status();
    if (!*there && !*tombstone) co_return no_such_user(*address);
    Result<std::vector<StoredToken>> tokens = co_await tokens_of(&core_->store, *address);
    if (!tokens.ok()) co_return tokens.status();
    response.set_tokens(tokens->size());
  } else {
    // From here on the user is out, whatever happens to the rest.
    Result<StoredTombstone> made = co_await bury(*address, std::string(context.principal()));
    if (!made.ok()) co_return made.status();
    if (made->complete()) co_return response;
    buried = std::move(*made);
    core_->last_seen.forget(*address);
    Result<uint64_t> tokens = co_await remove_tokens(&core_->store, *address, std::string());
    if (!tokens.ok()) co_return tokens.status();
    response.set_tokens(*tokens);
  }
  auto mailbox = co_await core_->store.read_mailbox(*address, 0, 1);
  if (!mailbox.ok()) co_return mailbox.status();
  if (*mailbox) {
    response.set_mailbox(true);
    response.set_messages((*mailbox)->last() + 1 - (*mailbox)->first());
  }
  if (!buried) co_return response;
  Result<bool> deleted = co_await core_->store.delete_mailbox(*address);
  if (!deleted.ok()) co_return deleted.status();
  std::vector<std::string> seen{*address};
  Result<uint64_t> forgotten = co_await core_->store.remove(kLastSeen, std::move(seen));
  if (!forgotten.ok()) co_return forgotten.status();
  buried->set_complete(true);
  storage::v1::CommitRequest write;
  add_put(&write, kTombstones, *address, buried->SerializeAsString());
  Result<storage::v1::CommitResponse> done = co_await core_->store.commit(std::move(write));
  if (!done.ok()) co_return Store::unavailable(done.status());
  co_return response;
}

Task<Status> UsersService::export_user(const v1::ExportUserRequest& request,
                                       Writer<v1::ExportedItem>& writer) {
  const Status gone(IMCTL_CANCELLED, "the caller went away");
  Result<std::string> address = core_->address(request.user());
  if (!address.ok()) co_return address.status();
  Result<Kept<StoredUser>> user = co_await find_user(&core_->store, *address);
  if (!user.ok()) co_return user.status();
  v1::ExportedItem item;
  *item.mutable_user() = to_message(user->value, user->revision, unix_now());
  auto seen = co_await core_->store.get<StoredLastSeen>(kLastSeen, *address);
  if (!seen.ok()) co_return seen.status();
  if (*seen && (*seen)->value.uid() == user->value.uid()) {
    set_time((*seen)->value.time(), item.mutable_user()->mutable_last_seen());
  }
  if (!co_await writer.write(item)) co_return gone;
  Result<std::vector<StoredToken>> tokens = co_await tokens_of(&core_->store, *address);
  if (!tokens.ok()) co_return tokens.status();
  for (const StoredToken& token : *tokens) {
    *item.mutable_token() = to_message(token);
    if (!co_await writer.write(item)) co_return gone;
  }
  uint64_t after = 0;
  for (;;) {
    auto page = co_await core_->store.read_mailbox(*address, after, kPage);
    if (!page.ok()) co_return page.status();
    if (!*page || (*page)->entries().empty()) co_return Status();
    for (storage::v1::Entry& entry : *(*page)->mutable_entries()) {
      after = entry.sequence();
      item.mutable_entry()->Swap(&entry);
      if (!co_await writer.write(item)) co_return gone;
    }
  }
}

}  // namespace imctl::user
