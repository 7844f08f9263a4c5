// The settings, checked.
#ifndef IMCTL_LOCATIONS_REDIS_OPTIONS_H
#define IMCTL_LOCATIONS_REDIS_OPTIONS_H

#include <string>

#include "imctl/cluster/redis/v1/config.pb.h"
#include "imctl/status.h"
#include "replica/location.h"

namespace imctl::locations {

struct RedisOptions {
  std::string name;  // of the server, for people
  std::string host;
  int port = 0;
  std::string database;
  std::string username;
  std::string password;
  std::string prefix;  // of all keys
  Time expiry = 0;
  Time connect_timeout = 0;
  Time answer_timeout = 0;
};

Result<RedisOptions> read_options(const cluster::redis::v1::Config& config);

}  // namespace imctl::locations

#endif  // IMCTL_LOCATIONS_REDIS_OPTIONS_H
