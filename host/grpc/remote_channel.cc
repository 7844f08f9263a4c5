#include "grpc/remote_channel.h"

#include <grpcpp/generic/generic_stub.h>

#include <algorithm>
#include <fstream>
#include <iterator>
#include <vector>

#include "grpc/hop.h"
#include "grpc/node_credential.h"

namespace imctl::host {
namespace {

// A silent host is found out after the two together.
constexpr int kKeepaliveMs = 6000;  // hosts allow this: see front_end.cc
constexpr int kKeepaliveAnswerMs = 4000;
// Pauses between attempts to connect: short, since an attempt costs nothing and the host should be
// back in use as soon as it is there. gRPC adds jitter.
constexpr int kFirstPauseMs = 100;
constexpr int kLongestPauseMs = 1000;
constexpr int kConnectMs = 3000;

constexpr std::string_view kPlain = "grpc://";
constexpr std::string_view kTls = "grpcs://";

Status read_pem(const std::string& setting, const std::string& path, std::string* content) {
  if (path.empty()) return {};
  std::ifstream file(path, std::ios::binary);
  content->assign(std::istreambuf_iterator<char>(file), {});
  if (file && !content->empty()) return {};
  return {IMCTL_FAILED_PRECONDITION,
          "bind." + setting + ": " + path + " cannot be read, or is empty"};
}

Result<std::shared_ptr<grpc::ChannelCredentials>> make_credentials(const RemoteSettings& settings) {
  grpc::SslCredentialsOptions options;
  Status status = read_pem("tls_ca", settings.tls_ca, &options.pem_root_certs);
  if (status.ok()) status = read_pem("tls_cert", settings.tls_cert, &options.pem_cert_chain);
  if (status.ok()) status = read_pem("tls_key", settings.tls_key, &options.pem_private_key);
  if (!status.ok()) return status;
  return grpc::SslCredentials(options);
}

// HOST:PORT.
bool is_target(const std::string& target) {
  size_t colon = target.rfind(':');
  if (colon == std::string::npos || colon == 0) return false;
  std::string_view port = std::string_view(target).substr(colon + 1);
  std::string_view host = std::string_view(target).substr(0, colon);
  bool bare_ipv6 = host.front() != '[' && host.find(':') != std::string_view::npos;
  constexpr size_t kDigits = 5;
  return !bare_ipv6 && host.find('/') == std::string_view::npos && !port.empty() &&
         port.size() <= kDigits &&
         std::all_of(port.begin(), port.end(), [](char c) { return c >= '0' && c <= '9'; });
}

}  // namespace

Result<std::shared_ptr<grpc::Channel>> make_remote_channel(const std::string& address,
                                                           const RemoteSettings& settings) {
  bool tls = address.rfind(kTls, 0) == 0;
  std::string target = address.substr(tls ? kTls.size() : std::min(kPlain.size(), address.size()));
  if (!is_target(target)) {
    return Status(IMCTL_INVALID_ARGUMENT,
                  "[bind]: " + address + " is not grpc://HOST:PORT or grpcs://HOST:PORT");
  }
  std::shared_ptr<grpc::ChannelCredentials> credentials = grpc::InsecureChannelCredentials();
  if (tls) {
    Result<std::shared_ptr<grpc::ChannelCredentials>> made = make_credentials(settings);
    if (!made.ok()) return made.status();
    credentials = std::move(*made);
  }
  grpc::ChannelArguments arguments;
  arguments.SetMaxReceiveMessageSize(-1);  // the modules and the other host have limits
  arguments.SetMaxSendMessageSize(-1);
  arguments.SetInt(GRPC_ARG_ENABLE_HTTP_PROXY, 0);
  arguments.SetInt(GRPC_ARG_ENABLE_RETRIES, 0);  // whether to try again is the caller's choice
  arguments.SetInt(GRPC_ARG_KEEPALIVE_TIME_MS, kKeepaliveMs);
  arguments.SetInt(GRPC_ARG_KEEPALIVE_TIMEOUT_MS, kKeepaliveAnswerMs);
  arguments.SetInt(GRPC_ARG_KEEPALIVE_PERMIT_WITHOUT_CALLS, 1);
  arguments.SetInt(GRPC_ARG_HTTP2_MAX_PINGS_WITHOUT_DATA, 0);
  arguments.SetInt(GRPC_ARG_INITIAL_RECONNECT_BACKOFF_MS, kFirstPauseMs);
  arguments.SetInt(GRPC_ARG_MAX_RECONNECT_BACKOFF_MS, kLongestPauseMs);
  arguments.SetInt(GRPC_ARG_MIN_RECONNECT_BACKOFF_MS, kConnectMs);  // of one attempt, in truth
  // A stream that nobody reads here holds its window and no more: the window must not grow.
  arguments.SetInt(GRPC_ARG_HTTP2_BDP_PROBE, 0);
  return grpc::CreateCustomChannel(target, credentials, arguments);
}

bool is_answer(const grpc::ClientContext& context) {
  const auto& trailers = context.GetServerTrailingMetadata();
  return trailers.find(grpc::string_ref(kCallIdMetadata.data(), kCallIdMetadata.size())) !=
         trailers.end();
}

std::string reason_of(const grpc::Status& status, const grpc::ClientContext& context) {
  std::string text = status.error_message();
  if (text.empty()) text = "error " + std::to_string(status.error_code()) + " without words";
  if (is_answer(context)) return text;
  switch (status.error_code()) {
    case grpc::StatusCode::DEADLINE_EXCEEDED: return "it does not answer";
    case grpc::StatusCode::CANCELLED: return "it went away";
    case grpc::StatusCode::UNIMPLEMENTED: return "what answers there is no imctl host";
    case grpc::StatusCode::UNAVAILABLE: {
      // gRPC's text ends with the system's: "...: Connection refused".
      size_t colon = text.rfind(": ");
      return colon == std::string::npos ? text : text.substr(colon + 2);
    }
    default: return text;
  }
}

Result<v1::GetCatalogResponse> fetch_catalog(const std::shared_ptr<grpc::Channel>& channel,
                                             const RemoteSettings& settings,
                                             const std::string& known_digest,
                                             std::chrono::milliseconds timeout,
                                             grpc::ClientContext* context) {
  v1::GetCatalogRequest request;
  request.set_known_digest(known_digest);
  add_node_credential(settings, context);
  context->set_deadline(std::chrono::system_clock::now() + timeout);
  grpc::CompletionQueue queue;
  grpc::GenericStub stub(channel);
  auto call =
      stub.PrepareUnaryCall(context, "/imctl.host.v1.Catalog/Get", to_bytes(request), &queue);
  call->StartCall();
  grpc::ByteBuffer bytes;
  grpc::Status status;
  call->Finish(&bytes, &status, &status);
  void* tag = nullptr;
  bool ok = false;
  (void)queue.Next(&tag, &ok);
  queue.Shutdown();
  while (queue.Next(&tag, &ok)) {
  }
  if (!status.ok()) {
    return Status(static_cast<imctl_code>(status.error_code()), reason_of(status, *context));
  }
  v1::GetCatalogResponse reply;
  if (from_bytes(bytes, &reply)) return reply;
  return Status(IMCTL_DATA_LOSS, "its catalog cannot be read: is it of another version?");
}

grpc::ByteBuffer to_bytes(const google::protobuf::MessageLite& message) {
  grpc::Slice slice(message.SerializeAsString());
  return {&slice, 1};
}

bool from_bytes(const grpc::ByteBuffer& bytes, google::protobuf::MessageLite* message) {
  grpc::Slice slice;
  return bytes.DumpToSingleSlice(&slice).ok() &&
         message->ParseFromArray(slice.begin(), static_cast<int>(slice.size()));
}

}  // namespace imctl::host
