#include "grpc/front_end.h"

#include <grpcpp/generic/async_generic_service.h>
#include <grpcpp/grpcpp.h>
#include <grpcpp/impl/codegen/server_callback_handlers.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <cstring>
#include <thread>

#include "core/host.h"
#include "grpc/streaming.h"
#include "grpc/unary.h"

namespace imctl::host {
namespace {

using grpc::internal::CallbackBidiHandler;
using grpc::internal::CallbackUnaryHandler;
using grpc::internal::RpcMethod;
using grpc::internal::RpcServiceMethod;

constexpr int kMinPingIntervalMs = 5000;  // remote_channel.cc pings a little less often

// The methods that are known at start, each as generated code would register it, but with raw
// bytes: a generic service alone costs a bidirectional stream a call.
class KnownMethods final : public grpc::Service {
 public:
  explicit KnownMethods(Host& host) {
    int index = 0;
    for (MethodSlot* slot : host.methods().all()) {
      std::shared_ptr<const Route> route = slot->route();
      if (route == nullptr) continue;
      const MethodInfo& info = route->served->info;
      bool unary = !info.client_streams && !info.server_streams;
      AddMethod(new RpcServiceMethod(slot->name().c_str(),
                                     unary ? RpcMethod::NORMAL_RPC : RpcMethod::BIDI_STREAMING,
                                     nullptr));
      MarkMethodRawCallback(index++,
                            unary ? unary_handler(host, slot) : stream_handler(host, slot));
    }
  }

 private:
  static grpc::internal::MethodHandler* unary_handler(Host& host, MethodSlot* slot) {
    return new CallbackUnaryHandler<grpc::ByteBuffer, grpc::ByteBuffer>(
        [&host, slot](grpc::CallbackServerContext* context, const grpc::ByteBuffer* request,
                      grpc::ByteBuffer* reply) {
          return start_unary(host, slot, context, request, reply);
        });
  }
  static grpc::internal::MethodHandler* stream_handler(Host& host, MethodSlot* slot) {
    return new CallbackBidiHandler<grpc::ByteBuffer, grpc::ByteBuffer>(
        [&host, slot](grpc::CallbackServerContext* context) {
          return start_stream(host, slot, context);
        });
  }
};

// What no registered method matches.
class OtherMethods final : public grpc::CallbackGenericService {
 public:
  explicit OtherMethods(Host& host) : host_(host) {}
  grpc::ServerGenericBidiReactor* CreateReactor(
      grpc::GenericCallbackServerContext* context) override {
    return start_by_name(host_, context->method(), context);
  }

 private:
  Host& host_;
};

bool is_loopback(const std::string& address) {
  std::string host = address.substr(0, address.rfind(':'));
  return host == "localhost" || host == "[::1]" || host.rfind("127.", 0) == 0;
}

Status check_listeners(const HostConfig& config) {
  for (const std::string& address : config.listen) {
    if (!config.auth_none && config.nodes.empty()) {
      return {
          IMCTL_FAILED_PRECONDITION,
          "host.listen: " + address +
              " would be open without authentication: no loaded module serves "
              "imctl.auth.v1.Authenticator. Set host.auth = none (loopback only: everybody who can "
              "connect is an administrator), name other hosts that may connect in section [nodes], "
              "or set host.listen = none for the unix socket alone"};
    }
    if (config.auth_none && !is_loopback(address)) {
      return {IMCTL_FAILED_PRECONDITION,
              "host.listen: " + address +
                  " is not a loopback address, and host.auth = none is accepted on loopback only"};
    }
  }
  if (config.listen.empty() && config.socket.empty()) {
    return {IMCTL_FAILED_PRECONDITION,
            "host.listen and host.socket are both none: nobody could reach this host"};
  }
  return {};
}

// A socket file that a killed host left behind is in nobody's use; a live one is not ours to take.
Status check_socket(const std::string& path) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (path.size() >= sizeof(address.sun_path)) {
    return {IMCTL_FAILED_PRECONDITION,
            "host.socket: " + path + " is longer than a unix socket's path may be (" +
                std::to_string(sizeof(address.sun_path) - 1) + " bytes): name a shorter one"};
  }
  std::memcpy(address.sun_path, path.data(), path.size());
  struct stat info {};
  if (lstat(path.c_str(), &info) != 0) return {};
  if (!S_ISSOCK(info.st_mode)) {
    return {IMCTL_FAILED_PRECONDITION, "host.socket: " + path + " exists and is not a socket"};
  }
  int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  bool alive = fd >= 0 && connect(fd, reinterpret_cast<sockaddr*>(&address), sizeof(address)) == 0;
  if (fd >= 0) close(fd);
  if (alive) {
    return {IMCTL_FAILED_PRECONDITION, "host.socket: another process serves " + path};
  }
  return {};
}

}  // namespace

struct FrontEnd::Server {
  explicit Server(Host& h) : host(h), known(h), other(h) {}

  Host& host;
  KnownMethods known;
  OtherMethods other;
  std::unique_ptr<grpc::Server> grpc;
  std::thread closer;
};

FrontEnd::FrontEnd(std::unique_ptr<Server> server) : server_(std::move(server)) {}

Result<std::unique_ptr<FrontEnd>> FrontEnd::start(Host& host) {
  const HostConfig& config = host.config();
  Status status = check_listeners(config);
  if (status.ok() && !config.socket.empty()) status = check_socket(config.socket);
  if (!status.ok()) return status;

  std::unique_ptr<FrontEnd> front_end(new FrontEnd(std::make_unique<Server>(host)));
  grpc::EnableDefaultHealthCheckService(false);  // ours knows the modules
  grpc::ServerBuilder builder;
  builder.SetMaxReceiveMessageSize(static_cast<int>(config.max_request));
  builder.SetMaxSendMessageSize(-1);
  // Else two hosts could share a port and take calls in turn.
  builder.AddChannelArgument(GRPC_ARG_ALLOW_REUSEPORT, 0);
  builder.AddChannelArgument(GRPC_ARG_KEEPALIVE_PERMIT_WITHOUT_CALLS, 1);
  builder.AddChannelArgument(GRPC_ARG_HTTP2_MIN_RECV_PING_INTERVAL_WITHOUT_DATA_MS,
                             kMinPingIntervalMs);
  // A client that never stops writing to a handler that does not read fills its stream's window and
  // no more: the window must not grow with the bandwidth (gRPC would let it reach megabytes a
  // stream).
  builder.AddChannelArgument(GRPC_ARG_HTTP2_BDP_PROBE, 0);
  std::vector<int> ports(config.listen.size());
  for (size_t i = 0; i < config.listen.size(); ++i) {
    builder.AddListeningPort(config.listen[i], grpc::InsecureServerCredentials(), &ports[i]);
  }
  int socket_bound = 0;
  if (!config.socket.empty()) {
    builder.AddListeningPort("unix:" + config.socket, grpc::InsecureServerCredentials(),
                             &socket_bound);
  }
  builder.RegisterService(&front_end->server_->known);
  builder.RegisterCallbackGenericService(&front_end->server_->other);

  mode_t mask = umask(0177);  // the socket is for the host's own user
  front_end->server_->grpc = builder.BuildAndStart();
  umask(mask);
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
    if (socket_bound == 0) {
      return Status(IMCTL_FAILED_PRECONDITION, "cannot listen on the socket " + config.socket +
                                                   ": may this user write there? (host.socket)");
    }
    front_end->addresses_.push_back("unix:" + config.socket);
  }
  if (front_end->server_->grpc == nullptr) {
    return Status(IMCTL_FAILED_PRECONDITION, "gRPC's server cannot start");
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
  server_->closer = std::thread([grpc = server_->grpc.get(), until] { grpc->Shutdown(until); });
}

void FrontEnd::finish() {
  if (server_->grpc == nullptr) return;
  server_->closer.join();
  server_->grpc->Wait();
  server_->grpc.reset();
  if (!server_->host.config().socket.empty()) unlink(server_->host.config().socket.c_str());
}

}  // namespace imctl::host
