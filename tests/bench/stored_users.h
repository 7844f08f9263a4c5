// Users as modules/user keeps them (stored.proto), put into the storage directly: a million are
// there in a minute.
#ifndef IMCTL_TESTS_BENCH_STORED_USERS_H
#define IMCTL_TESTS_BENCH_STORED_USERS_H

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "storage_load.h"

namespace imctl::bench {

constexpr uint64_t kUid = 7;
constexpr size_t kNameDigits = 7;

// "0000042"
std::string digits(uint64_t number, size_t count);
// "u0000042@localhost"
std::string user_name(uint64_t number);
std::string stored_user(uint64_t number);

// A Write of a CommitRequest: collection, key, value, index entries.
void append_put(std::string* to, std::string_view collection, std::string_view key,
                std::string_view value,
                const std::vector<std::pair<std::string, std::string>>& indexes);

// So many users, without passwords and tokens.
void store_users(Caller* caller, uint64_t users);

}  // namespace imctl::bench

#endif  // IMCTL_TESTS_BENCH_STORED_USERS_H
