// How hosts prove to each other who they are: a name and a key, in the metadata of every call.
#ifndef IMCTL_HOST_GRPC_NODE_CREDENTIAL_H
#define IMCTL_HOST_GRPC_NODE_CREDENTIAL_H

#include <map>
#include <string>
#include <string_view>

#include "core/remote_hosts.h"
#include "imctl/status.h"

namespace grpc {
class ClientContext;
}

namespace imctl::host {

// Metadata keys.
inline constexpr std::string_view kNodeMetadata = "imctl-node";
inline constexpr std::string_view kNodeKeyMetadata = "imctl-node-key";

// Can metadata carry the node's name and key of these settings? An error names the setting, never
// the key.
Status check_node_credential(const RemoteSettings& settings);

// Adds the proof to a call; does nothing if the settings name no node.
void add_node_credential(const RemoteSettings& settings, grpc::ClientContext* context);

// Is `key` that of the node `name`? `nodes`: names, and the SHA-256 of each one's key in hex. Takes
// as long whether the name is known or not, and wherever the key differs.
bool is_node(const std::map<std::string, std::string>& nodes, std::string_view name,
             std::string_view key);

}  // namespace imctl::host

#endif  // IMCTL_HOST_GRPC_NODE_CREDENTIAL_H
