#include "cli/embedded_transport.h"

#include <condition_variable>
#include <deque>
#include <mutex>
#include <thread>
#include <utility>

#include "road/call.h"
#include "road/timer.h"

namespace imctl::host::cli {
namespace {

// One call: its events come from any thread, the command line waits for them on its own.
class WaitingCall : public Caller {
 public:
  WaitingCall(Dispatcher& dispatcher, CallParams params)
      : dispatcher_(dispatcher), call_(new Call(std::move(params), this)) {}

  void start() { dispatcher_.start(*call_.get()); }
  void cancel() { call_->cancel(IMCTL_CANCELLED, "interrupted"); }

  const std::string& id() const { return call_->params().call_id; }

  // Waits until the message is accepted; false: the call is over.
  bool write(const std::string& bytes) {
    {
      std::lock_guard<std::mutex> lock(mutex_);
      if (finished_) return false;
      written_.reset();
    }
    call_->caller_write(BufferRef::copy_of(bytes));
    std::unique_lock<std::mutex> lock(mutex_);
    changed_.wait(lock, [this] { return written_.has_value() || finished_; });
    return written_.value_or(false);
  }
  void writes_done() { call_->caller_writes_done(); }

  // The next message of a stream; nothing: no more.
  std::optional<std::string> read() {
    {
      std::lock_guard<std::mutex> lock(mutex_);
      answered_ = false;
      message_ = {};
    }
    call_->caller_read();
    std::unique_lock<std::mutex> lock(mutex_);
    changed_.wait(lock, [this] { return answered_ || finished_; });
    if (!message_) return std::nullopt;
    return std::string(message_.view());
  }

  // Waits for the end; `reply`: the message of a unary or client-streaming call that went well.
  Status end(std::string* reply) {
    std::unique_lock<std::mutex> lock(mutex_);
    changed_.wait(lock, [this] { return finished_; });
    *reply = reply_.view();
    return status_;
  }

  void on_message(BufferRef message, bool /*more*/) override {
    std::lock_guard<std::mutex> lock(mutex_);
    message_ = std::move(message);
    answered_ = true;
    changed_.notify_all();
  }
  void on_written(bool accepted) override {
    std::lock_guard<std::mutex> lock(mutex_);
    written_ = accepted;
    changed_.notify_all();
  }
  void on_finish(const Status& status, BufferRef reply) override {
    std::lock_guard<std::mutex> lock(mutex_);
    status_ = status;
    reply_ = std::move(reply);
    finished_ = true;
    changed_.notify_all();
  }

 private:
  Dispatcher& dispatcher_;
  std::mutex mutex_;
  std::condition_variable changed_;
  std::optional<bool> written_;
  bool answered_ = false;
  bool finished_ = false;
  BufferRef message_;
  BufferRef reply_;
  Status status_;
  CallRef call_;
};

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
