// The road to one other host: its address, how the connection behaves, and in words why it fails.
#ifndef IMCTL_HOST_GRPC_REMOTE_CHANNEL_H
#define IMCTL_HOST_GRPC_REMOTE_CHANNEL_H

#include <grpcpp/grpcpp.h>

#include <chrono>
#include <memory>
#include <string>

#include "core/remote_hosts.h"
#include "imctl/host/v1/host.pb.h"
#include "imctl/status.h"

namespace imctl::host {

// `address`: "grpc://HOST:PORT", "grpcs://HOST:PORT". The channel connects by itself, again and
// again with growing pauses and jitter, and finds out within ten seconds that nobody is there any
// more. Errors name the setting. Not to be destroyed in a callback of its own.
Result<std::shared_ptr<grpc::Channel>> make_remote_channel(const std::string& address,
                                                           const RemoteSettings& settings);

// Did the host itself say how the call ended? Else gRPC did, since the host cannot be reached or
// went away. After the call's end.
bool is_answer(const grpc::ClientContext& context);

// Why the call failed, in words that follow the host's address.
std::string reason_of(const grpc::Status& status, const grpc::ClientContext& context);

// What the host says of its modules; empty if it is what `known_digest` stands for. Waits so long
// at most; ended sooner by `context`'s TryCancel. An error's message is a reason as above.
Result<v1::GetCatalogResponse> fetch_catalog(const std::shared_ptr<grpc::Channel>& channel,
                                             const RemoteSettings& settings,
                                             const std::string& known_digest,
                                             std::chrono::milliseconds timeout,
                                             grpc::ClientContext* context);

grpc::ByteBuffer to_bytes(const google::protobuf::MessageLite& message);
bool from_bytes(const grpc::ByteBuffer& bytes, google::protobuf::MessageLite* message);

}  // namespace imctl::host

#endif  // IMCTL_HOST_GRPC_REMOTE_CHANNEL_H
