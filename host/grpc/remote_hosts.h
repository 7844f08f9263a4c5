// Other hosts over gRPC, for HostOptions::remote_hosts.
#ifndef IMCTL_HOST_GRPC_REMOTE_HOSTS_H
#define IMCTL_HOST_GRPC_REMOTE_HOSTS_H

#include <memory>

#include "core/remote_hosts.h"

namespace imctl::host {

std::shared_ptr<RemoteHosts> make_remote_hosts();

}  // namespace imctl::host

#endif  // IMCTL_HOST_GRPC_REMOTE_HOSTS_H
