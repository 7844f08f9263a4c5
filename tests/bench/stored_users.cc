#include "stored_users.h"

#include <algorithm>

#include "storage_requests.h"

namespace imctl::bench {

std::string digits(uint64_t number, size_t count) {
  std::string text(count, '0');
  for (size_t at = count; at > 0 && number > 0; number /= 10) {
    text[--at] = static_cast<char>('0' + number % 10);
  }
  return text;
}

std::string user_name(uint64_t number) { return "u" + digits(number, kNameDigits) + "@localhost"; }

std::string stored_user(uint64_t number) {
  std::string user;
  append_bytes(&user, 1, user_name(number));
  append_number(&user, 2, kUid);
  append_bytes(&user, 3, "User " + std::to_string(number));
  append_number(&user, 11, 1'700'000'000);
  append_number(&user, 12, 1'700'000'000);
  return user;
}

void append_put(std::string* to, std::string_view collection, std::string_view key,
                std::string_view value,
                const std::vector<std::pair<std::string, std::string>>& indexes) {
  std::string put;
  append_bytes(&put, 1, collection);
  append_bytes(&put, 2, key);
  append_bytes(&put, 3, value);
  for (const auto& [index, entry] : indexes) {
    std::string bytes;
    append_bytes(&bytes, 1, index);
    append_bytes(&bytes, 2, entry);
    append_bytes(&put, 4, bytes);
  }
  std::string write;
  append_bytes(&write, 1, put);
  append_bytes(to, 1, write);
}

void store_users(Caller* caller, uint64_t users) {
  constexpr uint64_t kACommit = 250;
  for (uint64_t from = 0; from < users; from += kACommit) {
    std::string commit;
    for (uint64_t i = from; i < std::min(users, from + kACommit); ++i) {
      append_put(&commit, "user/users", user_name(i), stored_user(i), {});
    }
    (void)caller->call("/imctl.storage.v1.Records/Commit", commit);
  }
}

}  // namespace imctl::bench
