#include "grpc/front_end.h"

#include <grpcpp/generic/async_generic_service.h>
#include <grpcpp/grpcpp.h>
#include <grpcpp/impl/codegen/server_callback_handlers.h>

#include <thread>
#include <utility>

#include "core/host.h"
#include "grpc/credentials.h"
#include "grpc/streaming.h"
#include "grpc/unary.h"

namespace imctl::host {
namespace {

using grpc::internal::CallbackBidiHandler;
using grpc::internal::CallbackUnaryHandler;
using grpc::internal::RpcMethod;
using grpc::internal::RpcServiceMethod;

constexpr int kIdleMs = 10 * 60 * 1000;
constexpr int kMinPingIntervalMs = 5000;  // remote_channel.cc pings a little less often

// The methods that are known at start, each as generated code would register it, but with raw
// bytes: a generic service alone costs a bidirectional stream a call.
class KnownMethods final : public grpc::Service {
 public:
  explicit KnownMethods(const Entrance& entrance) {
    int index = 0;
    for (MethodSlot* slot : entrance.host.methods().all()) {
      std::shared_ptr<const Route> route = slot->route();
      if (route == nullptr) continue;
      const MethodInfo& info = route->served->info;
      bool unary = !info.client_streams && !info.server_streams;
      AddMethod(new RpcServiceMethod(slot->name().c_str(),
                                     unary ? RpcMethod::NORMAL_RPC : RpcMethod::BIDI_STREAMING,
                                     nullptr));
      MarkMethodRawCallback(index++,
                            unary ? unary_handler(entrance, slot) : stream_handler(entrance, slot));
    }
  }

 private:
  static grpc::internal::MethodHandler* unary_handler(const Entrance& entrance, MethodSlot* slot) {
    return new CallbackUnaryHandler<grpc::ByteBuffer, grpc::ByteBuffer>(
        [&entrance, slot](grpc::CallbackServerContext* context, const grpc::ByteBuffer* request,
                          grpc::ByteBuffer* reply) {
          return start_unary(entrance, slot, context, request, reply);
        });
  }
  static grpc::internal::MethodHandler* stream_handler(const Entrance& entrance, MethodSlot* slot) {
    return new CallbackBidiHandler<grpc::ByteBuffer, grpc::ByteBuffer>(
        [&entrance, slot](grpc::CallbackServerContext* context) {
          return start_stream(entrance, slot, context);
        });
  }
};

// What no registered method matches.
class OtherMethods final : public grpc::CallbackGenericService {
 public:
  explicit OtherMethods(const Entrance& entrance) : entrance_(entrance) {}
  grpc::ServerGenericBidiReactor* CreateReactor(
      grpc::GenericCallbackServerContext* context) override {
    return start_by_name(entrance_, context->method(), context);
  }

 private:
  const Entrance& entrance_;
};

}  // namespace

struct FrontEnd::Server {
  explicit Server(Entrance e) : entrance(std::move(e)), known(entrance), other(entrance) {}

  Entrance entrance;
  KnownMethods known;
  OtherMethods other;
  std::unique_ptr<grpc::Server> grpc;
  std::thread closer;
};

FrontEnd::FrontEnd(std::unique_ptr<Server> server) : server_(std::move(server)) {}

Result<std::unique_ptr<FrontEnd>> FrontEnd::start(Host& host) {
  const HostConfig& config = host.config();
  Status status = check_listeners(config);
  if (!status.ok()) return status;
  Result<std::shared_ptr<grpc::ServerCredentials>> credentials = listener_credentials(config);
  if (!credentials.ok()) return credentials.status();
  Entrance entrance{host, nullptr, !config.tls_cert.empty()};
  if (!config.socket.empty()) {
    auto socket = UnixListener::open(config.socket, config.socket_mode);
    if (!socket.ok()) return socket.status();
    entrance.socket = std::move(*socket);
  }
  std::unique_ptr<FrontEnd> front_end(new FrontEnd(std::make_unique<Server>(std::move(entrance))));
  grpc::EnableDefaultHealthCheckService(false);  // ours knows the modules
  grpc::ServerBuilder builder;
  builder.SetMaxReceiveMessageSize(static_cast<int>(config.max_request));
  builder.SetMaxSendMessageSize(-1);
  // Else two hosts could share a port and take calls in turn.
  builder.AddChannelArgument(GRPC_ARG_ALLOW_REUSEPORT, 0);
  builder.AddChannelArgument(GRPC_ARG_KEEPALIVE_PERMIT_WITHOUT_CALLS, 1);
  builder.AddChannelArgument(GRPC_ARG_HTTP2_MIN_RECV_PING_INTERVAL_WITHOUT_DATA_MS,
                             kMinPingIntervalMs);
  // Who connects and calls nothing does not keep others out for ever; clients connect again by
  // themselves.
  builder.AddChannelArgument(GRPC_ARG_MAX_CONNECTION_IDLE_MS, kIdleMs);
  // A client that never stops writing to a handler that does not read fills its stream's window and
  // no more: the window must not grow with the bandwidth (gRPC would let it reach megabytes a
  // stream).
  builder.AddChannelArgument(GRPC_ARG_HTTP2_BDP_PROBE, 0);
  std::vector<int> ports(config.listen.size());
  for (size_t i = 0; i < config.listen.size(); ++i) {
    builder.AddListeningPort(config.listen[i], *credentials, &ports[i]);
  }
  builder.RegisterService(&front_end->server_->known);
  builder.RegisterCallbackGenericService(&front_end->server_->other);

  front_end->server_->grpc = builder.BuildAndStart();
  for (size_t i = 0; i < ports.size(); ++i) {
    const std::string& address = config.listen[i];
    if (ports[i] == 0) {
      return Status(
          IMCTL_FAILED_PRECONDITION,
          "cannot listen on " + address +
              ": is another process there? (host.listen, or API_PORT, names the address)");
    }
    front_end->addresses_.push_back(address.substr(0, address.rfind(':') + 1) +
                                    std::to_string(ports[i]));
  }
  if (!config.socket.empty()) {
    front_end->addresses_.push_back("unix:" + config.socket);
  }
  if (front_end->server_->grpc == nullptr) {
    return Status(IMCTL_FAILED_PRECONDITION, "gRPC's server cannot start");
  }
  if (const auto& socket = front_end->server_->entrance.socket; socket != nullptr) {
    socket->start(front_end->server_->grpc.get());
  }
  host.set_listening(front_end->addresses_);
  return front_end;
}

FrontEnd::~FrontEnd() {
  close(std::chrono::system_clock::now());
  finish();
}

void FrontEnd::close(std::chrono::system_clock::time_point until) {
  if (server_->grpc == nullptr || server_->closer.joinable()) return;
  if (server_->entrance.socket != nullptr) server_->entrance.socket->stop();
  server_->closer = std::thread([grpc = server_->grpc.get(), until] { grpc->Shutdown(until); });
}

void FrontEnd::finish() {
  if (server_->grpc == nullptr) return;
  server_->closer.join();
  server_->grpc->Wait();
  server_->grpc.reset();
  server_->entrance.socket.reset();
}

}  // namespace imctl::host
