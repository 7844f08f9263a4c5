// What a call says of itself on its way from one host to another, in gRPC's metadata: written by
// the host that forwards it, read by the one that serves it.
#ifndef IMCTL_HOST_GRPC_HOP_H
#define IMCTL_HOST_GRPC_HOP_H

#include <grpcpp/grpcpp.h>

#include <map>
#include <optional>
#include <string>
#include <string_view>

#include "core/remote_hosts.h"
#include "imctl/status.h"
#include "road/call.h"

namespace imctl::host {

// The trailers of an answer that failed, by which the host that forwarded the call knows that the
// other one said so, and not the network; and that it is itself who was refused.
inline constexpr std::string_view kCallIdMetadata = "imctl-call-id";
inline constexpr std::string_view kNodeRefusedMetadata = "imctl-node-refused";
inline constexpr std::string_view kDryRunMetadata = "imctl-dry-run";

// Writes who calls and within which bounds, what the caller gave as metadata, and this host's own
// proof of who it is. Without that the other host would believe nothing of the principal, so
// nothing is said of it.
void write_hop(const CallParams& params, const RemoteSettings& settings,
               grpc::ClientContext* context);

// What a call says of the hosts that it passed, while its metadata is read.
class ReadHop {
 public:
  // Takes what is meant for it; false: the key is somebody else's.
  bool take(std::string_view key, std::string_view value);
  // Puts what may be believed into `params`, which has the principal of a caller that is no node.
  // An error is how the call ends; `params` then has who the caller claims to be.
  Status apply(const std::map<std::string, std::string>& nodes, CallParams* params) const;

 private:
  std::optional<std::string> node_, node_key_, principal_, principal_kind_, caller_module_, peer_,
      credential_;
  uint32_t depth_ = 0;
};

}  // namespace imctl::host

#endif  // IMCTL_HOST_GRPC_HOP_H
