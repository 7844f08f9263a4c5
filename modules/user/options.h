// The settings of section [user], as the code takes them.
#ifndef IMCTL_USER_OPTIONS_H
#define IMCTL_USER_OPTIONS_H

#include <chrono>
#include <cstdint>
#include <string>

#include "imctl/service.h"
#include "password.h"
#include "throttle.h"

namespace imctl::user {

struct Options {
  std::string domain;
  PasswordSettings passwords;
  Throttle::Limits per_account;
  Throttle::Limits per_address;
  size_t throttle_entries = 0;
  std::chrono::seconds token_lifetime{0};
  uint32_t max_tokens = 0;
  std::chrono::seconds last_seen{0};
  std::chrono::milliseconds clean_interval{0};
  std::chrono::milliseconds storage_timeout{0};
  uint32_t import_hashes = 0;

  // INVALID_ARGUMENT names the setting.
  static Result<Options> read(const Settings& settings);
};

}  // namespace imctl::user

#endif  // IMCTL_USER_OPTIONS_H
