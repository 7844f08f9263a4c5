#include "cli/embedded_transport.h"

#include <mutex>
#include <thread>
#include <utility>

#include "road/call.h"
#include "road/timer.h"
#include "road/waiting_call.h"

namespace imctl::host::cli {
namespace {

class EmbeddedTransport : public Transport {
 public:
  explicit EmbeddedTransport(std::unique_ptr<Host> host) : host_(std::move(host)) {}

  Status call(const CallRequest& request,
              const std::function<std::optional<std::string>()>& next_request,
              const std::function<bool(std::string)>& on_reply) override {
    CallParams params;
    params.target = host_->methods().slot(request.method);
    params.principal_kind = IMCTL_PRINCIPAL_ADMIN;
    params.principal = "embedded";
    params.peer = "embedded";
    params.call_id = request.call_id;
    if (request.dry_run) params.flags |= IMCTL_DRY_RUN;
    if (request.timeout.count() > 0) {
      params.deadline = monotonic_now() + request.timeout.count();
      params.watch_deadline = true;
    }
    if (!request.client_streams) {
      std::optional<std::string> bytes = next_request();
      params.request = BufferRef::copy_of(bytes ? *bytes : std::string());
    }
    auto call = std::make_shared<WaitingCall>(host_->dispatcher(), std::move(params));
    {
      std::lock_guard<std::mutex> lock(mutex_);
      current_ = call;
    }
    call->start();
    if (request.client_streams) {
      // It may wait for standard input longer than the call lives: nobody waits for it.
      std::thread([call, next_request] {
        while (std::optional<std::string> bytes = next_request()) {
          if (!call->write(*bytes)) return;
        }
        call->writes_done();
      }).detach();
    }
    while (request.server_streams) {
      std::optional<std::string> message = call->read();
      if (!message) break;
      if (!on_reply(std::move(*message))) call->cancel();
    }
    std::string reply;
    Status status = call->end(&reply);
    call_id_ = status.ok() ? "" : call->id();
    {
      std::lock_guard<std::mutex> lock(mutex_);
      current_ = nullptr;
    }
    if (status.ok() && !request.server_streams) (void)on_reply(std::move(reply));
    return status;
  }

  void cancel() override {
    std::shared_ptr<WaitingCall> call;
    {
      std::lock_guard<std::mutex> lock(mutex_);
      call = current_;
    }
    if (call != nullptr) call->cancel();
  }

  std::string call_id() const override { return call_id_; }
  std::string where() const override { return "the data folder " + host_->config().data; }

 private:
  std::unique_ptr<Host> host_;
  std::string call_id_;
  std::mutex mutex_;
  std::shared_ptr<WaitingCall> current_;
};

}  // namespace

Result<std::unique_ptr<Transport>> make_embedded_transport(const HostOptions& options) {
  Result<std::unique_ptr<Host>> host = Host::open(options);
  if (!host.ok()) return host.status();
  std::unique_ptr<Transport> transport = std::make_unique<EmbeddedTransport>(std::move(*host));
  return transport;
}

}  // namespace imctl::host::cli
