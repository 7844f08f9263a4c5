#include "nats/connection.h"

#include <dlfcn.h>
#include <pthread.h>

namespace imctl::locations {
namespace {

constexpr int64_t kPing = 1000;
constexpr int kPingsOut = 2;
constexpr int64_t kWriteDeadline = 2000;
constexpr int64_t kWait = 500;
constexpr int64_t kFlush = 1000;
constexpr int kPendingMessages = 1'000'000;
constexpr int kPendingBytes = 256 << 20;

// The library has threads that outlive its connections: its code must stay when this module goes.
void keep_library() {
  static const bool kept = [] {
    Dl_info info{};
    return dladdr(reinterpret_cast<void*>(&nats_Open), &info) != 0 &&
           dlopen(info.dli_fname, RTLD_NOW | RTLD_NOLOAD | RTLD_NODELETE) != nullptr;
  }();
  (void)kept;
}

struct Destroy {
  void operator()(natsOptions* options) const { natsOptions_Destroy(options); }
};

Status explain(natsStatus status, const NatsOptions& options) {
  natsStatus of = NATS_OK;
  const char* last = nats_GetLastError(&of);
  std::string why = natsStatus_GetText(status);
  if (of == status && last != nullptr && *last != '\0') why = last;
  if (status == NATS_CONNECTION_AUTH_FAILED || status == NATS_NOT_PERMITTED) {
    return {IMCTL_UNAVAILABLE, "the NATS server at " + options.name +
                                   " refuses to let this host in (" + why +
                                   "): check username and password, or token"};
  }
  return {IMCTL_UNAVAILABLE,
          "the NATS server at " + options.name + " cannot be reached (" + why + ")"};
}

natsStatus configure(natsOptions* raw, const NatsOptions& options) {
  std::vector<const char*> servers;
  for (const std::string& server : options.servers) servers.push_back(server.c_str());
  natsStatus s = natsOptions_SetServers(raw, servers.data(), static_cast<int>(servers.size()));
  auto then = [&](auto set, auto... values) {
    if (s == NATS_OK) s = set(raw, values...);
  };
  then(natsOptions_SetName, "imctl");
  then(natsOptions_SetAllowReconnect, false);
  then(natsOptions_SetTimeout, options.connect_timeout);
  then(natsOptions_SetPingInterval, kPing);
  then(natsOptions_SetMaxPingsOut, kPingsOut);
  then(natsOptions_SetWriteDeadline, kWriteDeadline);
  then(natsOptions_SetIgnoreDiscoveredServers, true);
  if (!options.username.empty()) {
    then(natsOptions_SetUserInfo, options.username.c_str(), options.password.c_str());
  }
  if (!options.token.empty()) then(natsOptions_SetToken, options.token.c_str());
  if (options.tls) then(natsOptions_SetSecure, true);
  if (!options.tls_ca.empty()) {
    then(natsOptions_LoadCATrustedCertificates, options.tls_ca.c_str());
  }
  if (!options.tls_cert.empty()) {
    then(natsOptions_LoadCertificatesChain, options.tls_cert.c_str(), options.tls_key.c_str());
  }
  return s;
}

}  // namespace

Result<std::unique_ptr<Connection>> Connection::open(const NatsOptions& options,
                                                     Receiver receiver) {
  keep_library();
  natsOptions* raw = nullptr;
  natsStatus s = natsOptions_Create(&raw);
  std::unique_ptr<natsOptions, Destroy> held(raw);
  if (s == NATS_OK) s = configure(raw, options);
  std::unique_ptr<Connection> made(new Connection());
  made->subject_ = options.subject;
  if (s == NATS_OK) s = natsConnection_Connect(&made->connection_, raw);
  if (s == NATS_OK) {
    s = natsConnection_SubscribeSync(&made->subscription_, made->connection_,
                                     options.subject.c_str());
  }
  if (s == NATS_OK) {
    s = natsSubscription_SetPendingLimits(made->subscription_, kPendingMessages, kPendingBytes);
  }
  // So that what is published from now on comes back.
  if (s == NATS_OK) s = natsConnection_FlushTimeout(made->connection_, options.connect_timeout);
  if (s != NATS_OK) return explain(s, options);
  Connection* const self = made.get();
  made->thread_ = std::thread([self, take = std::move(receiver)] { self->receive(take); });
  pthread_setname_np(made->thread_.native_handle(), "nats-receive");
  return made;
}

Connection::~Connection() {
  natsConnection_Close(connection_);
  if (thread_.joinable()) thread_.join();
  natsSubscription_Destroy(subscription_);
  natsConnection_Destroy(connection_);
}

void Connection::receive(const Receiver& receiver) {
  for (;;) {
    natsMsg* message = nullptr;
    const natsStatus s = natsSubscription_NextMsg(&message, subscription_, kWait);
    if (s == NATS_OK) {
      receiver({natsMsg_GetData(message), static_cast<size_t>(natsMsg_GetDataLength(message))});
      natsMsg_Destroy(message);
    } else if (s != NATS_TIMEOUT && s != NATS_SLOW_CONSUMER) {
      return;
    }
  }
}

Status Connection::publish(std::string_view bytes) {
  const natsStatus s = natsConnection_Publish(connection_, subject_.c_str(), bytes.data(),
                                              static_cast<int>(bytes.size()));
  if (s == NATS_OK) return {};
  return {IMCTL_UNAVAILABLE, natsStatus_GetText(s)};
}

void Connection::flush() { (void)natsConnection_FlushTimeout(connection_, kFlush); }

bool Connection::lost() const { return natsConnection_IsClosed(connection_); }

std::string Connection::why() const {
  const char* text = nullptr;
  const natsStatus s = natsConnection_GetLastError(connection_, &text);
  if (text != nullptr && *text != '\0') return text;
  return s == NATS_OK ? "the connection ended" : natsStatus_GetText(s);
}

int64_t Connection::dropped() const {
  int64_t count = 0;
  natsSubscription_GetDropped(subscription_, &count);
  return count;
}

}  // namespace imctl::locations
