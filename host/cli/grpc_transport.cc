#include "cli/grpc_transport.h"

#include <grpcpp/generic/generic_stub.h>
#include <grpcpp/grpcpp.h>

#include <condition_variable>
#include <mutex>
#include <thread>
#include <utility>

namespace imctl::host::cli {
namespace {

using grpc::ByteBuffer;

ByteBuffer to_buffer(const std::string& bytes) {
  grpc::Slice slice(bytes);
  return ByteBuffer(&slice, 1);
}

std::string to_string(const ByteBuffer& buffer) {
  std::vector<grpc::Slice> slices;
  std::string bytes;
  if (!buffer.Dump(&slices).ok()) return bytes;
  bytes.reserve(buffer.Length());
  for (const grpc::Slice& slice : slices) {
    bytes.append(reinterpret_cast<const char*>(slice.begin()), slice.size());
  }
  return bytes;
}

// One call of any kind: on the wire a unary call is a stream with one message each way.
//
// A hold is kept from the start until `over_`, so operations may be started until then, under the
// mutex, from any thread.
class StreamCall : public grpc::ClientBidiReactor<ByteBuffer, ByteBuffer> {
 public:
  void start(grpc::GenericStub* stub, const CallRequest& request) {
    if (request.dry_run) context_.AddMetadata("imctl-dry-run", "1");
    if (request.timeout.count() > 0) {
      context_.set_deadline(std::chrono::system_clock::now() + request.timeout);
    }
    stub->PrepareBidiStreamingCall(&context_, request.method, grpc::StubOptions(), this);
    AddHold();
    StartRead(&incoming_);
    StartCall();
  }

  void cancel() { context_.TryCancel(); }

  // Waits until the message is with gRPC; false: the call is over.
  bool write(const std::string& bytes, bool last) {
    std::unique_lock<std::mutex> lock(mutex_);
    if (over_) return false;
    outgoing_ = to_buffer(bytes);
    writing_ = true;
    grpc::WriteOptions options;
    if (last) options.set_last_message();
    StartWrite(&outgoing_, options);
    changed_.wait(lock, [this] { return !writing_; });
    return write_ok_;
  }

  void writes_done() {
    std::lock_guard<std::mutex> lock(mutex_);
    if (!over_) StartWritesDone();
  }

  // The next reply; nothing: no more.
  std::optional<std::string> read() {
    std::unique_lock<std::mutex> lock(mutex_);
    changed_.wait(lock, [this] { return read_done_; });
    if (!read_ok_) return std::nullopt;
    std::string bytes = to_string(incoming_);
    incoming_.Clear();
    read_done_ = false;
    StartRead(&incoming_);
    return bytes;
  }

  // Waits for the end. Once; no reply is read afterwards.
  grpc::Status end() {
    {
      std::lock_guard<std::mutex> lock(mutex_);
      over_ = true;
    }
    RemoveHold();
    std::unique_lock<std::mutex> lock(mutex_);
    changed_.wait(lock, [this] { return done_; });
    return status_;
  }

  void OnReadDone(bool ok) override {
    std::lock_guard<std::mutex> lock(mutex_);
    read_ok_ = ok;
    read_done_ = true;
    changed_.notify_all();
  }
  void OnWriteDone(bool ok) override {
    std::lock_guard<std::mutex> lock(mutex_);
    write_ok_ = ok;
    writing_ = false;
    changed_.notify_all();
  }
  void OnDone(const grpc::Status& status) override {
    std::lock_guard<std::mutex> lock(mutex_);
    status_ = status;
    done_ = true;
    changed_.notify_all();
  }

 private:
  grpc::ClientContext context_;
  ByteBuffer incoming_;
  ByteBuffer outgoing_;
  std::mutex mutex_;
  std::condition_variable changed_;
  bool over_ = false;
  bool writing_ = false;
  bool write_ok_ = false;
  bool read_done_ = false;
  bool read_ok_ = false;
  bool done_ = false;
  grpc::Status status_;
};

class GrpcTransport : public Transport {
 public:
  explicit GrpcTransport(std::string address) : address_(std::move(address)) {
    grpc::ChannelArguments arguments;
    arguments.SetMaxReceiveMessageSize(-1);
    arguments.SetMaxSendMessageSize(-1);
    // A host that does not answer at all is given up after this; one that refuses, at once.
    arguments.SetInt(GRPC_ARG_MIN_RECONNECT_BACKOFF_MS, 5000);
    arguments.SetInt(GRPC_ARG_ENABLE_HTTP_PROXY, 0);
    channel_ = grpc::CreateCustomChannel(address_, grpc::InsecureChannelCredentials(), arguments);
    stub_ = std::make_unique<grpc::GenericStub>(channel_);
  }

  Status call(const CallRequest& request,
              const std::function<std::optional<std::string>()>& next_request,
              const std::function<bool(std::string)>& on_reply) override {
    auto call = std::make_shared<StreamCall>();
    {
      std::lock_guard<std::mutex> lock(mutex_);
      current_ = call;
    }
    call->start(stub_.get(), request);
    if (request.client_streams) {
      // It may wait for standard input longer than the call lives: nobody waits for it, and what it
      // holds is its own.
      std::thread([call, next_request] {
        while (std::optional<std::string> bytes = next_request()) {
          if (!call->write(*bytes, false)) return;
        }
        call->writes_done();
      }).detach();
    } else {
      std::optional<std::string> bytes = next_request();
      (void)call->write(bytes ? *bytes : std::string(), true);
    }
    while (std::optional<std::string> reply = call->read()) {
      if (!on_reply(std::move(*reply))) call->cancel();
    }
    grpc::Status ended = call->end();
    {
      std::lock_guard<std::mutex> lock(mutex_);
      current_ = nullptr;
    }
    return translate(ended);
  }

  void cancel() override {
    std::lock_guard<std::mutex> lock(mutex_);
    if (current_ != nullptr) current_->cancel();
  }

  std::string where() const override { return address_; }

 private:
  Status translate(const grpc::Status& status) const {
    if (status.ok()) return {};
    auto code = static_cast<imctl_code>(status.error_code());
    bool connected = channel_->GetState(false) == GRPC_CHANNEL_READY;
    if (code != IMCTL_UNAVAILABLE || connected) {
      return {code, status.error_message(), status.error_details()};
    }
    // gRPC's text ends with the system's: "...: Connection refused".
    std::string reason = status.error_message();
    size_t colon = reason.rfind(": ");
    if (colon != std::string::npos) reason.erase(0, colon + 2);
    return {code, "no host answers at " + address_ + " (" + reason +
                      "): start one with `imctl serve`, name one with --server, or use --embedded"};
  }

  std::string address_;
  std::shared_ptr<grpc::Channel> channel_;
  std::unique_ptr<grpc::GenericStub> stub_;
  std::mutex mutex_;
  std::shared_ptr<StreamCall> current_;
};

}  // namespace

std::unique_ptr<Transport> make_grpc_transport(const std::string& address) {
  return std::make_unique<GrpcTransport>(address);
}

}  // namespace imctl::host::cli
