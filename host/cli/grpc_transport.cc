#include "cli/grpc_transport.h"

#include <grpcpp/generic/generic_stub.h>
#include <grpcpp/grpcpp.h>

#include <algorithm>
#include <array>
#include <condition_variable>
#include <mutex>
#include <thread>
#include <utility>
#include <vector>

#include "cli/field_value.h"
#include "cli/token.h"
#include "grpc/hop.h"

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

// One call of any kind: on the wire a unary call is a stream with one message each way. All events
// come through one queue that the thread in `run` polls; writes may be started from another thread
// until the call is over.
class StreamCall {
 public:
  using OnReply = std::function<bool(std::string)>;

  StreamCall(grpc::GenericStub* stub, const CallRequest& request, const std::string& token) {
    if (!request.call_id.empty()) {
      context_.AddMetadata(std::string(kCallIdMetadata), request.call_id);
    }
    if (!token.empty()) context_.AddMetadata("authorization", "Bearer " + token);
    if (request.dry_run) context_.AddMetadata("imctl-dry-run", "1");
    if (request.timeout.count() > 0) {
      context_.set_deadline(std::chrono::system_clock::now() + request.timeout);
    }
    stream_ = stub->PrepareCall(&context_, request.method, &queue_);
    stream_->StartCall(tag(kStarted));
  }

  void cancel() { context_.TryCancel(); }

  // Waits for the connection. Before all that follows.
  void wait_started() {
    void* got = nullptr;
    bool ok = false;
    over_ = !queue_.Next(&got, &ok) || !ok;
  }

  // What the host calls it, if it got there and failed. After `run`.
  std::string call_id() const {
    for (const auto& [key, value] : context_.GetServerTrailingMetadata()) {
      if (std::string_view(key.data(), key.size()) == kCallIdMetadata) {
        return {value.data(), value.size()};
      }
    }
    return {};
  }

  // Starts the only write.
  void write_last(const std::string& bytes) {
    std::lock_guard<std::mutex> lock(mutex_);
    if (over_) return;
    ++pending_;
    stream_->WriteLast(to_buffer(bytes), grpc::WriteOptions(), tag(kWritten));
  }

  // Waits until the message is with gRPC; false: the call is over. Beside `run`, on another thread.
  bool write(const std::string& bytes) {
    std::unique_lock<std::mutex> lock(mutex_);
    if (over_) return false;
    ++pending_;
    writing_ = true;
    stream_->Write(to_buffer(bytes), tag(kWritten));
    changed_.wait(lock, [this] { return !writing_; });
    return write_ok_;
  }

  void writes_done() {
    std::lock_guard<std::mutex> lock(mutex_);
    if (over_) return;
    ++pending_;
    stream_->WritesDone(tag(kWritten));
  }

  // Reads until the end of the call. Once.
  grpc::Status run(const OnReply& on_reply) {
    grpc::Status status;
    ByteBuffer incoming;
    if (over_) {
      stream_->Finish(&status, tag(kFinished));
    } else {
      stream_->Read(&incoming, tag(kRead));
    }
    bool finished = false;
    while (!finished || still_writing()) {
      void* got = nullptr;
      bool ok = false;
      if (!queue_.Next(&got, &ok)) break;
      if (got == tag(kFinished)) {
        finished = true;
      } else if (got == tag(kWritten)) {
        written(ok);
      } else if (ok) {
        if (!on_reply(to_string(incoming))) cancel();
        incoming.Clear();
        stream_->Read(&incoming, tag(kRead));
      } else {
        {
          std::lock_guard<std::mutex> lock(mutex_);
          over_ = true;
        }
        stream_->Finish(&status, tag(kFinished));
      }
    }
    queue_.Shutdown();
    void* got = nullptr;
    bool ok = false;
    while (queue_.Next(&got, &ok)) {
    }
    return status;
  }

 private:
  enum Tag { kStarted, kRead, kWritten, kFinished, kTags };
  // An event's name: an address of its own.
  void* tag(Tag value) { return &tags_[value]; }

  bool still_writing() {
    std::lock_guard<std::mutex> lock(mutex_);
    return pending_ > 0;
  }
  void written(bool ok) {
    std::lock_guard<std::mutex> lock(mutex_);
    --pending_;
    writing_ = false;
    write_ok_ = ok;
    changed_.notify_all();
  }

  std::array<char, kTags> tags_{};
  grpc::ClientContext context_;
  grpc::CompletionQueue queue_;
  std::unique_ptr<grpc::GenericClientAsyncReaderWriter> stream_;
  std::mutex mutex_;
  std::condition_variable changed_;
  bool over_ = false;     // no write may be started
  int pending_ = 0;       // writes whose event has not come
  bool writing_ = false;  // `write` waits
  bool write_ok_ = false;
};

class GrpcTransport : public Transport {
 public:
  GrpcTransport(std::string address, std::string token,
                const std::shared_ptr<grpc::ChannelCredentials>& credentials,
                const std::string& tls_name)
      : address_(std::move(address)), token_(std::move(token)) {
    grpc::ChannelArguments arguments;
    arguments.SetMaxReceiveMessageSize(-1);
    arguments.SetMaxSendMessageSize(-1);
    // A host that does not answer at all is given up after this; one that refuses, at once.
    arguments.SetInt(GRPC_ARG_MIN_RECONNECT_BACKOFF_MS, 5000);
    arguments.SetInt(GRPC_ARG_ENABLE_HTTP_PROXY, 0);
    if (!tls_name.empty()) arguments.SetSslTargetNameOverride(tls_name);
    channel_ = grpc::CreateCustomChannel(address_, credentials, arguments);
    stub_ = std::make_unique<grpc::GenericStub>(channel_);
  }

  Status call(const CallRequest& request,
              const std::function<std::optional<std::string>()>& next_request,
              const std::function<bool(std::string)>& on_reply) override {
    std::optional<std::string> only;
    if (!request.client_streams) only = next_request();
    auto call = std::make_shared<StreamCall>(stub_.get(), request, token_);
    call_id_.clear();
    {
      std::lock_guard<std::mutex> lock(mutex_);
      current_ = call;
    }
    call->wait_started();
    if (request.client_streams) {
      // It may wait for standard input longer than the call lives: nobody waits for it, and what it
      // holds is its own.
      std::thread([call, next_request] {
        while (std::optional<std::string> bytes = next_request()) {
          if (!call->write(*bytes)) return;
        }
        call->writes_done();
      }).detach();
    } else {
      call->write_last(only ? *only : std::string());
    }
    grpc::Status ended = call->run(on_reply);
    if (!ended.ok()) call_id_ = call->call_id();
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

  std::string call_id() const override { return call_id_; }
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
  std::string token_;
  std::string call_id_;
  std::shared_ptr<grpc::Channel> channel_;
  std::unique_ptr<grpc::GenericStub> stub_;
  std::mutex mutex_;
  std::shared_ptr<StreamCall> current_;
};

}  // namespace

Result<std::unique_ptr<Transport>> make_grpc_transport(const Connection& connection) {
  const Context& context = connection.context;
  Status error;
  auto content = [&](const std::string& path) {
    if (path.empty() || !error.ok()) return std::string();
    Result<std::string> text = read_file(path);
    if (!text.ok()) error = text.status();
    return text.ok() ? *text : std::string();
  };
  Result<std::string> token = read_token(context.token_file);
  if (!token.ok()) return token.status();
  std::shared_ptr<grpc::ChannelCredentials> credentials;
  if (connection.tls) {
    grpc::SslCredentialsOptions options;
    options.pem_root_certs = content(context.tls_ca);
    options.pem_cert_chain = content(context.tls_cert);
    options.pem_private_key = content(context.tls_key);
    credentials = grpc::SslCredentials(options);
  } else {
    credentials = grpc::InsecureChannelCredentials();
  }
  if (!error.ok()) return error;
  std::unique_ptr<Transport> made = std::make_unique<GrpcTransport>(
      connection.address, std::move(*token), credentials, context.tls_name);
  return made;
}

}  // namespace imctl::host::cli
