// Users as they are kept, and the ways to change them. From any thread.
#ifndef IMCTL_USER_ACCOUNTS_H
#define IMCTL_USER_ACCOUNTS_H

#include <functional>
#include <string>
#include <string_view>

#include "imctl/user/internal/stored.pb.h"
#include "imctl/user/v1/tokens.pb.h"
#include "imctl/user/v1/users.pb.h"
#include "password.h"
#include "store.h"

namespace imctl::user {

using internal::StoredCredentials;
using internal::StoredLastSeen;
using internal::StoredToken;
using internal::StoredTombstone;
using internal::StoredUser;

constexpr size_t kMaxDisplayName = 256;
constexpr size_t kMaxReason = 256;
constexpr size_t kMaxDevice = 128;
constexpr size_t kMaxRoleName = 64;
constexpr int kMaxRoles = 32;
constexpr size_t kMaxAttributes = 32;
constexpr size_t kMaxAttributeName = 60;
constexpr size_t kMaxAttributeValue = 1024;
// Times further away are not times but mistakes.
constexpr int64_t kMaxTime = 253402300799;  // the end of the year 9999

Status no_such_user(const std::string& address);

// Is the user kept out at this time? One whose time is over is not.
bool is_disabled(const StoredUser& user, int64_t now);
void enable(StoredUser* user);

// INVALID_ARGUMENT names the field.
Status check_profile(const StoredUser& user);
// With the index entries that users are found by.
void fill_put(const StoredUser& user, storage::v1::PutRecordRequest* put);
bool same(const StoredUser& a, const StoredUser& b);
v1::User to_message(const StoredUser& user, uint64_t revision, int64_t now);
v1::Token to_message(const StoredToken& token);
StoredCredentials to_stored(const Credentials& from, uint64_t uid);
Credentials from_stored(const StoredCredentials& from);
void set_time(int64_t seconds, google::protobuf::Timestamp* to);

uint64_t random_uid();

// NOT_FOUND in words.
Task<Result<Kept<StoredUser>>> find_user(Store* store, std::string address);

// Whether a user may be added of whom there may be a tombstone. FAILED_PRECONDITION.
Status may_be_added(const std::optional<Kept<StoredTombstone>>& tombstone,
                    const std::string& address, bool reuse);

// Changes a user: reads, has `change` change, and writes if that changed anything; again if
// somebody else was quicker. `revision`: only this one; 0: any. With `dry_run` nothing is written.
Task<Result<Kept<StoredUser>>> edit_user(Store* store, std::string address, uint64_t revision,
                                         bool dry_run, std::function<Status(StoredUser*)> change);

}  // namespace imctl::user

#endif  // IMCTL_USER_ACCOUNTS_H
