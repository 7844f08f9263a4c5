#include "accounts.h"

#include <google/protobuf/io/coded_stream.h>
#include <google/protobuf/io/zero_copy_stream_impl_lite.h>
#include <sodium.h>

#include <utility>

#include "text.h"

namespace imctl::user {
namespace {

void fill(const ScramParts& from, internal::StoredScram* to) {
  to->set_iterations(from.iterations);
  to->set_salt(from.salt);
  to->set_stored_key(from.stored_key);
  to->set_server_key(from.server_key);
}

ScramParts parts_of(const internal::StoredScram& from) {
  return {from.iterations(), from.salt(), from.stored_key(), from.server_key()};
}

}  // namespace

Status no_such_user(const std::string& address) {
  return {IMCTL_NOT_FOUND,
          "there is no user " + address + ": `imctl user list` shows those there are"};
}

bool is_disabled(const StoredUser& user, int64_t now) {
  return user.disabled() && (user.disabled_until() == 0 || user.disabled_until() > now);
}

void enable(StoredUser* user) {
  user->set_disabled(false);
  user->clear_disabled_reason();
  user->clear_disabled_by();
  user->clear_disabled_at();
  user->clear_disabled_until();
}

Status check_profile(const StoredUser& user) {
  if (Status status = check_text("display_name", user.display_name(), kMaxDisplayName);
      !status.ok()) {
    return status;
  }
  if (user.attributes().size() > kMaxAttributes) {
    return {IMCTL_INVALID_ARGUMENT,
            "attributes: a user has at most " + std::to_string(kMaxAttributes)};
  }
  for (const auto& [name, value] : user.attributes()) {
    if (Status status = check_name("attributes", name, kMaxAttributeName); !status.ok()) {
      return status;
    }
    if (Status status = check_text("attribute " + name, value, kMaxAttributeValue); !status.ok()) {
      return status;
    }
  }
  if (user.roles_size() > kMaxRoles) {
    return {IMCTL_INVALID_ARGUMENT, "roles: a user has at most " + std::to_string(kMaxRoles)};
  }
  for (const std::string& role : user.roles()) {
    if (Status status = check_name("roles", role, kMaxRoleName); !status.ok()) return status;
  }
  return check_text("reason", user.disabled_reason(), kMaxReason);
}

void fill_put(const StoredUser& user, storage::v1::PutRecordRequest* put) {
  put->set_collection(kUsers);
  put->set_key(user.address());
  put->set_value(user.SerializeAsString());
  if (user.disabled()) add_index(put, "state", "disabled");
  if (user.disabled() && user.disabled_until() != 0) {
    add_index(put, "until", sortable(user.disabled_until()));
  }
  for (const auto& [name, value] : user.attributes()) add_index(put, "a." + name, value);
}

void set_time(int64_t seconds, google::protobuf::Timestamp* to) { to->set_seconds(seconds); }

bool same(const StoredUser& a, const StoredUser& b) {
  // The order of a map's entries is by chance.
  auto bytes = [](const StoredUser& user) {
    std::string out;
    google::protobuf::io::StringOutputStream raw(&out);
    google::protobuf::io::CodedOutputStream coded(&raw);
    coded.SetSerializationDeterministic(true);
    user.SerializeToCodedStream(&coded);
    coded.Trim();
    return out;
  };
  return bytes(a) == bytes(b);
}

v1::User to_message(const StoredUser& user, uint64_t revision, int64_t now) {
  v1::User to;
  to.set_user(user.address());
  to.set_display_name(user.display_name());
  *to.mutable_attributes() = user.attributes();
  *to.mutable_roles() = user.roles();
  to.set_state(v1::STATE_ACTIVE);
  if (is_disabled(user, now)) {
    to.set_state(v1::STATE_DISABLED);
    to.set_reason(user.disabled_reason());
    to.set_disabled_by(user.disabled_by());
    set_time(user.disabled_at(), to.mutable_disabled_at());
    if (user.disabled_until() != 0) set_time(user.disabled_until(), to.mutable_until());
  }
  set_time(user.created(), to.mutable_created());
  set_time(user.updated(), to.mutable_updated());
  to.set_revision(revision);
  return to;
}

v1::Token to_message(const StoredToken& token) {
  v1::Token to;
  to.set_id(token.id());
  to.set_user(token.user());
  to.set_device(token.device());
  *to.mutable_scope() = token.scope();
  set_time(token.created(), to.mutable_created());
  set_time(token.expires(), to.mutable_expires());
  to.set_created_by(token.created_by());
  return to;
}

StoredCredentials to_stored(const Credentials& from, uint64_t uid) {
  StoredCredentials to;
  to.set_uid(uid);
  to.set_argon2id(from.argon2id);
  if (from.scram_sha_256) fill(*from.scram_sha_256, to.mutable_scram_sha_256());
  if (from.scram_sha_1) fill(*from.scram_sha_1, to.mutable_scram_sha_1());
  to.set_changed(unix_now());
  return to;
}

Credentials from_stored(const StoredCredentials& from) {
  Credentials to;
  to.argon2id = from.argon2id();
  if (from.has_scram_sha_256()) to.scram_sha_256 = parts_of(from.scram_sha_256());
  if (from.has_scram_sha_1()) to.scram_sha_1 = parts_of(from.scram_sha_1());
  return to;
}

uint64_t random_uid() {
  uint64_t uid = 0;
  do {
    randombytes_buf(&uid, sizeof(uid));
  } while (uid == 0);
  return uid;
}

Task<Result<Kept<StoredUser>>> find_user(Store* store, std::string address) {
  auto found = co_await store->get<StoredUser>(kUsers, address);
  if (!found.ok()) co_return found.status();
  if (!*found) co_return no_such_user(address);
  co_return std::move(**found);
}

Status may_be_added(const std::optional<Kept<StoredTombstone>>& tombstone,
                    const std::string& address, bool reuse) {
  if (!tombstone) return {};
  if (!tombstone->value.complete()) {
    return {IMCTL_FAILED_PRECONDITION, "the removal of user " + address +
                                           " did not come to its end: `imctl user delete " +
                                           address + "` goes on with it"};
  }
  if (reuse) return {};
  return {
      IMCTL_FAILED_PRECONDITION,
      "there was a user " + address +
          " who was deleted, and others may still know them by that name: choose another, or say "
          "--reuse"};
}

Task<Result<Kept<StoredUser>>> edit_user(Store* store, std::string address, uint64_t revision,
                                         bool dry_run, std::function<Status(StoredUser*)> change) {
  for (int i = 0; i < kTries; ++i) {
    Result<Kept<StoredUser>> found = co_await find_user(store, address);
    if (!found.ok()) co_return found.status();
    if (revision != 0 && found->revision != revision) {
      co_return Status(IMCTL_FAILED_PRECONDITION,
                       "user " + address + " was changed since: it has revision " +
                           std::to_string(found->revision) + ", not " + std::to_string(revision) +
                           ": look at it again with `imctl user get`");
    }
    StoredUser changed = found->value;
    if (Status status = change(&changed); !status.ok()) co_return status;
    if (Status status = check_profile(changed); !status.ok()) co_return status;
    if (same(changed, found->value)) co_return std::move(*found);
    changed.set_updated(unix_now());
    if (dry_run) co_return Kept<StoredUser>{std::move(changed), found->revision};
    storage::v1::CommitRequest write;
    storage::v1::PutRecordRequest* put = write.add_writes()->mutable_put();
    fill_put(changed, put);
    put->set_revision(found->revision);
    Result<storage::v1::CommitResponse> done = co_await store->commit(std::move(write));
    if (done.ok()) co_return Kept<StoredUser>{std::move(changed), done->revisions(0)};
    if (!is_conflict(done.status())) co_return done.status();
  }
  co_return too_busy();
}

}  // namespace imctl::user
