// The settings, checked.
#ifndef IMCTL_LOCATIONS_NATS_OPTIONS_H
#define IMCTL_LOCATIONS_NATS_OPTIONS_H

#include <string>
#include <vector>

#include "imctl/cluster/nats/v1/config.pb.h"
#include "imctl/status.h"
#include "replica/location.h"

namespace imctl::locations {

struct NatsOptions {
  std::vector<std::string> servers;
  std::string name;  // of the servers, for people
  bool tls = false;
  std::string username;
  std::string password;
  std::string token;
  std::string tls_ca;
  std::string tls_cert;
  std::string tls_key;
  std::string subject;
  Time connect_timeout = 0;
  size_t queue_bytes = 0;
};

Result<NatsOptions> read_options(const cluster::nats::v1::Config& config);

}  // namespace imctl::locations

#endif  // IMCTL_LOCATIONS_NATS_OPTIONS_H
