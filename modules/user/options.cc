#include "options.h"

#include "address.h"
#include "imctl/user/v1/config.pb.h"

namespace imctl::user {
namespace {

std::chrono::milliseconds milliseconds(const google::protobuf::Duration& from) {
  return std::chrono::seconds(from.seconds()) + std::chrono::milliseconds(from.nanos() / 1'000'000);
}

}  // namespace

Result<Options> Options::read(const Settings& settings) {
  const auto config = settings.as<v1::Config>();
  Options made;
  Result<std::string> domain = normalise_domain(settings.domain());
  if (!domain.ok()) {
    return Status(IMCTL_INVALID_ARGUMENT,
                  "host.domain is no domain that users may be of: " + domain.status().message());
  }
  made.domain = *domain;
  made.passwords.argon2id = made.passwords.scram_sha_256 = made.passwords.scram_sha_1 = false;
  for (const std::string& kind : config.credentials()) {
    if (kind == "argon2id") made.passwords.argon2id = true;
    if (kind == "scram-sha-256") made.passwords.scram_sha_256 = true;
    if (kind == "scram-sha-1") made.passwords.scram_sha_1 = true;
  }
  made.passwords.argon2_memory = config.argon2_memory();
  made.passwords.argon2_time = config.argon2_time();
  made.passwords.scram_iterations = config.scram_iterations();
  made.passwords.min_length = config.password_min();
  made.per_account = {config.login_attempts(), milliseconds(config.login_delay_max())};
  made.per_address = {config.address_attempts(), milliseconds(config.login_delay_max())};
  made.throttle_entries = config.throttle_entries();
  auto seconds = [](const google::protobuf::Duration& from) {
    return std::chrono::seconds(from.seconds() + (from.nanos() > 0 ? 1 : 0));
  };
  made.token_lifetime = seconds(config.token_lifetime());
  made.max_tokens = config.max_tokens();
  made.last_seen = seconds(config.last_seen());
  made.clean_interval = milliseconds(config.clean_interval());
  made.storage_timeout = milliseconds(config.storage_timeout());
  made.import_hashes = config.import_hashes();
  return made;
}

}  // namespace imctl::user
