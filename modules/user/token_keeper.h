// Tokens as they are kept. From any thread.
#ifndef IMCTL_USER_TOKEN_KEEPER_H
#define IMCTL_USER_TOKEN_KEEPER_H

#include <string>
#include <vector>

#include "accounts.h"
#include "token_text.h"

namespace imctl::user {

struct NewToken {
  std::string user;
  uint64_t uid = 0;
  std::string device;
  std::vector<std::string> scope;
  int64_t lifetime = 0;  // seconds
  std::string created_by;
  // At login: the tokens of the same device end, and of too many the one that would end first.
  bool login = false;
  uint32_t most = 0;
};

struct MadeToken {
  TokenText text;
  int64_t expires = 0;
};

// RESOURCE_EXHAUSTED: the user has too many, and this is no login.
Task<Result<MadeToken>> make_token(Store* store, NewToken wanted);

// All of a user, without those that have expired.
Task<Result<std::vector<StoredToken>>> tokens_of(Store* store, std::string address);

// Removes all tokens of a user but one; gives how many.
Task<Result<uint64_t>> remove_tokens(Store* store, std::string address, std::string but);

// Removes some of those that have expired; gives how many.
Task<Result<uint64_t>> remove_expired_tokens(Store* store, int64_t now);

}  // namespace imctl::user

#endif  // IMCTL_USER_TOKEN_KEEPER_H
