#include "cli/http2_transport.h"

#include <nghttp2/nghttp2.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cerrno>
#include <condition_variable>
#include <cstring>
#include <deque>
#include <mutex>
#include <string_view>
#include <thread>
#include <utility>
#include <vector>

#include "cli/http2_socket.h"
#include "cli/token.h"

namespace imctl::host::cli {
namespace {

using Clock = std::chrono::steady_clock;

constexpr int32_t kWindow = 4 << 20;
constexpr size_t kMessageHead = 5;  // compressed or not, and the length
// A host that does not answer at all is given up after this.
constexpr std::chrono::seconds kPatience(20);
constexpr std::string_view kCallId = "imctl-call-id";
constexpr std::string_view kDryRun = "imctl-dry-run";

std::string framed(const std::string& bytes) {
  std::string message(1, '\0');
  auto size = static_cast<uint32_t>(bytes.size());
  for (unsigned shift : {24U, 16U, 8U, 0U}) message += static_cast<char>(size >> shift);
  return message + bytes;
}

// "%E6%A1%9C" and the like.
std::string percent_decoded(std::string_view text) {
  auto digit = [](char c) {
    if (c >= '0' && c <= '9') return c - '0';
    if (c >= 'A' && c <= 'F') return c - 'A' + 10;
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
  };
  std::string plain;
  for (size_t i = 0; i < text.size(); ++i) {
    if (text[i] == '%' && i + 2 < text.size() && digit(text[i + 1]) >= 0 &&
        digit(text[i + 2]) >= 0) {
      plain += static_cast<char>(digit(text[i + 1]) * 16 + digit(text[i + 2]));
      i += 2;
    } else {
      plain += text[i];
    }
  }
  return plain;
}

// At most eight digits, rounded up.
std::string timeout_text(std::chrono::nanoseconds timeout) {
  constexpr int64_t kMost = 99999999;
  for (auto [unit, name] : {std::pair<int64_t, char>{1, 'n'},
                            {1000, 'u'},
                            {1000000, 'm'},
                            {1000000000, 'S'},
                            {60000000000, 'M'}}) {
    int64_t count = timeout.count() / unit + (timeout.count() % unit != 0 ? 1 : 0);
    if (count <= kMost) return std::to_string(count) + name;
  }
  return std::to_string(kMost) + "H";
}

// As gRPC has it for what is no gRPC answer.
imctl_code code_of_http(const std::string& status) {
  if (status == "401") return IMCTL_UNAUTHENTICATED;
  if (status == "403") return IMCTL_PERMISSION_DENIED;
  if (status == "404") return IMCTL_UNIMPLEMENTED;
  if (status == "429" || status == "502" || status == "503" || status == "504")
    return IMCTL_UNAVAILABLE;
  return IMCTL_UNKNOWN;
}

class EventFd {
 public:
  EventFd() : fd_(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)) {}
  ~EventFd() { ::close(fd_); }
  EventFd(const EventFd&) = delete;
  EventFd& operator=(const EventFd&) = delete;
  int get() const { return fd_; }
  void set() const { (void)::eventfd_write(fd_, 1); }
  void clear() const {
    eventfd_t value = 0;
    (void)::eventfd_read(fd_, &value);
  }

 private:
  int fd_;
};

// The requests of one call on their way: from whoever makes them, to the thread that sends. It
// outlives the call if standard input is still being waited for.
class Outgoing {
 public:
  explicit Outgoing(std::shared_ptr<EventFd> wake) : wake_(std::move(wake)) {}

  // Waits until the message is with the kernel as far as the host takes it; false: the call is
  // over.
  bool put(const std::string& bytes) {
    std::unique_lock<std::mutex> lock(mutex_);
    if (over_) return false;
    message_ = framed(bytes);
    sent_ = 0;
    wake_->set();
    changed_.wait(lock, [this] { return over_ || sent_ == message_.size(); });
    return !over_;
  }
  void done() {
    std::lock_guard<std::mutex> lock(mutex_);
    if (over_) return;
    done_ = true;
    wake_->set();
  }
  // The only message, without waiting.
  void put_last(const std::string& bytes) {
    std::lock_guard<std::mutex> lock(mutex_);
    message_ = framed(bytes);
    sent_ = 0;
    done_ = true;
  }
  void end() {
    std::lock_guard<std::mutex> lock(mutex_);
    over_ = true;
    changed_.notify_all();
  }

  bool has_news() {
    std::lock_guard<std::mutex> lock(mutex_);
    return sent_ < message_.size() || done_;
  }
  ssize_t read(uint8_t* to, size_t room, uint32_t* flags) {
    std::lock_guard<std::mutex> lock(mutex_);
    size_t n = std::min(room, message_.size() - sent_);
    std::memcpy(to, message_.data() + sent_, n);
    sent_ += n;
    if (sent_ == message_.size()) {
      if (done_) *flags |= NGHTTP2_DATA_FLAG_EOF;
      if (n == 0 && !done_) return NGHTTP2_ERR_DEFERRED;
      changed_.notify_all();
    }
    return static_cast<ssize_t>(n);
  }

 private:
  std::shared_ptr<EventFd> wake_;
  std::mutex mutex_;
  std::condition_variable changed_;
  std::string message_;
  size_t sent_ = 0;
  bool done_ = false;
  bool over_ = false;
};

// What comes back.
struct Incoming {
  std::string buffer;
  size_t start = 0;
  std::string http_status;
  std::string code;  // grpc-status
  std::string message;
  std::string details;
  std::string call_id;
  bool closed = false;
  uint32_t reset = 0;

  // The next whole message; nothing: there is none yet. False in `good`: it is not one of gRPC's.
  std::optional<std::string> next(bool* good) {
    if (buffer.size() - start < kMessageHead) return std::nullopt;
    uint32_t size = 0;
    for (size_t i = 1; i < kMessageHead; ++i) {
      size = size << 8U | static_cast<unsigned char>(buffer[start + i]);
    }
    *good = buffer[start] == 0;
    if (!*good || buffer.size() - start - kMessageHead < size) return std::nullopt;
    std::string one = buffer.substr(start + kMessageHead, size);
    start += kMessageHead + size;
    if (start == buffer.size() || start > static_cast<size_t>(kWindow)) {
      buffer.erase(0, start);
      start = 0;
    }
    return one;
  }
};

struct SessionDeleter {
  void operator()(nghttp2_session* session) const { nghttp2_session_del(session); }
};

// One connection; used by one thread.
class Wire {
 public:
  Wire(int fd, std::shared_ptr<EventFd> wake) : fd_(fd), wake_(std::move(wake)) {
    nghttp2_session_callbacks* callbacks = nullptr;
    if (nghttp2_session_callbacks_new(&callbacks) != 0) throw std::bad_alloc();
    nghttp2_session_callbacks_set_on_header_callback(callbacks, on_header);
    nghttp2_session_callbacks_set_on_data_chunk_recv_callback(callbacks, on_data);
    nghttp2_session_callbacks_set_on_stream_close_callback(callbacks, on_close);
    nghttp2_session_callbacks_set_on_frame_recv_callback(callbacks, on_frame);
    nghttp2_session* made = nullptr;
    int error = nghttp2_session_client_new(&made, callbacks, this);
    nghttp2_session_callbacks_del(callbacks);
    if (error != 0) throw std::bad_alloc();
    session_.reset(made);
    const std::array<nghttp2_settings_entry, 2> settings = {
        {{NGHTTP2_SETTINGS_ENABLE_PUSH, 0}, {NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, kWindow}}};
    (void)nghttp2_submit_settings(made, NGHTTP2_FLAG_NONE, settings.data(), settings.size());
    (void)nghttp2_session_set_local_window_size(made, NGHTTP2_FLAG_NONE, 0, kWindow);
  }
  ~Wire() { ::close(fd_); }
  Wire(const Wire&) = delete;
  Wire& operator=(const Wire&) = delete;

  // Between two calls: takes what came, such as that the host is going.
  void look() {
    receive();
    (void)send();
  }
  // May another call be made?
  bool usable() const { return !lost_ && !leaving_; }
  bool lost() const { return lost_; }
  // Has the host said anything that is HTTP/2?
  bool greeted() const { return greeted_; }
  // Until when it has to.
  Clock::time_point patience() const { return made_ + kPatience; }

  bool start(const std::vector<std::pair<std::string, std::string>>& headers, Outgoing* out,
             Incoming* in) {
    in_ = in;
    out_ = out;
    std::vector<nghttp2_nv> fields;
    for (const auto& [name, value] : headers) {
      fields.push_back(
          {bytes(name), bytes(value), name.size(), value.size(), NGHTTP2_NV_FLAG_NONE});
    }
    nghttp2_data_provider provider{};
    provider.source.ptr = this;
    provider.read_callback = [](nghttp2_session*, int32_t, uint8_t* to, size_t room,
                                uint32_t* flags, nghttp2_data_source* source, void*) -> ssize_t {
      Outgoing* from = static_cast<Wire*>(source->ptr)->out_;
      if (from == nullptr) return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;
      return from->read(to, room, flags);
    };
    stream_ = nghttp2_submit_request(session_.get(), nullptr, fields.data(), fields.size(),
                                     &provider, nullptr);
    return stream_ > 0;
  }

  // Sends and receives what there is; waits at most until then for something to come.
  void step(Clock::time_point until) {
    if (out_ != nullptr && out_->has_news())
      (void)nghttp2_session_resume_data(session_.get(), stream_);
    bool blocked = !send();
    if (lost_ || in_->closed) return;
    auto left = std::chrono::ceil<std::chrono::milliseconds>(until - Clock::now());
    std::array<pollfd, 2> fds = {{{fd_, static_cast<short>(POLLIN | (blocked ? POLLOUT : 0)), 0},
                                  {wake_->get(), POLLIN, 0}}};
    int n = ::poll(fds.data(), fds.size(),
                   static_cast<int>(std::clamp<int64_t>(left.count(), 0, INT32_MAX)));
    if (n <= 0) return;
    if (fds[1].revents != 0) wake_->clear();
    if ((fds[0].revents & (POLLIN | POLLHUP | POLLERR)) != 0) receive();
  }

  // The call is over here; the host is told if it does not know.
  void finish(bool cancel) {
    if (cancel && !in_->closed && !lost_) {
      (void)nghttp2_submit_rst_stream(session_.get(), NGHTTP2_FLAG_NONE, stream_, NGHTTP2_CANCEL);
      (void)send();
    }
    in_ = nullptr;
    out_ = nullptr;
    stream_ = 0;
  }

 private:
  static uint8_t* bytes(const std::string& text) {
    // The library takes them as not const and does not change them.
    return reinterpret_cast<uint8_t*>(const_cast<char*>(text.data()));
  }

  // False: the socket takes no more now.
  bool send() {
    while (!lost_) {
      if (rest_.empty()) {
        const uint8_t* data = nullptr;
        ssize_t n = nghttp2_session_mem_send(session_.get(), &data);
        // With nothing to say and nothing to hear it is over: what came may not have been HTTP/2.
        if (n < 0 || (n == 0 && nghttp2_session_want_read(session_.get()) == 0)) lost_ = true;
        if (n <= 0) return true;
        rest_.assign(reinterpret_cast<const char*>(data), static_cast<size_t>(n));
      }
      ssize_t n = ::send(fd_, rest_.data(), rest_.size(), MSG_NOSIGNAL);
      if (n < 0 && errno == EINTR) continue;
      if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK)) return false;
      if (n < 0) {
        // What the host said before it went may still be there to read.
        receive();
        lost_ = true;
        return true;
      }
      rest_.erase(0, static_cast<size_t>(n));
    }
    return true;
  }

  void receive() {
    while (!lost_) {
      std::array<uint8_t, 65536> chunk;  // NOLINT: filled by recv
      ssize_t n = ::recv(fd_, chunk.data(), chunk.size(), 0);
      if (n < 0 && errno == EINTR) continue;
      if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK)) return;
      if (n <= 0 ||
          nghttp2_session_mem_recv(session_.get(), chunk.data(), static_cast<size_t>(n)) < 0) {
        lost_ = true;
        return;
      }
      // Printing comes first: what is not read stops the host, in the end.
      if (in_ != nullptr && in_->buffer.size() > static_cast<size_t>(kWindow)) return;
    }
  }

  static int on_header(nghttp2_session*, const nghttp2_frame* frame, const uint8_t* name,
                       size_t name_size, const uint8_t* value, size_t value_size, uint8_t,
                       void* self) {
    Wire* wire = static_cast<Wire*>(self);
    if (wire->in_ == nullptr || frame->hd.stream_id != wire->stream_) return 0;
    std::string_view key(reinterpret_cast<const char*>(name), name_size);
    std::string text(reinterpret_cast<const char*>(value), value_size);
    if (key == ":status") wire->in_->http_status = text;
    if (key == "grpc-status") wire->in_->code = text;
    if (key == "grpc-message") wire->in_->message = percent_decoded(text);
    if (key == kCallId) wire->in_->call_id = text;
    return 0;
  }
  static int on_data(nghttp2_session*, uint8_t, int32_t stream, const uint8_t* data, size_t size,
                     void* self) {
    Wire* wire = static_cast<Wire*>(self);
    if (wire->in_ != nullptr && stream == wire->stream_) {
      wire->in_->buffer.append(reinterpret_cast<const char*>(data), size);
    }
    return 0;
  }
  static int on_close(nghttp2_session*, int32_t stream, uint32_t code, void* self) {
    Wire* wire = static_cast<Wire*>(self);
    if (wire->in_ != nullptr && stream == wire->stream_) {
      wire->in_->closed = true;
      wire->in_->reset = code;
    }
    return 0;
  }
  static int on_frame(nghttp2_session*, const nghttp2_frame* frame, void* self) {
    Wire* wire = static_cast<Wire*>(self);
    wire->greeted_ = true;
    if (frame->hd.type == NGHTTP2_GOAWAY) wire->leaving_ = true;
    // The host may end a call without having read all of it.
    bool ends = (frame->hd.flags & NGHTTP2_FLAG_END_STREAM) != 0 &&
                (frame->hd.type == NGHTTP2_HEADERS || frame->hd.type == NGHTTP2_DATA);
    if (ends && wire->in_ != nullptr && frame->hd.stream_id == wire->stream_) {
      wire->in_->closed = true;
    }
    return 0;
  }

  int fd_;
  std::shared_ptr<EventFd> wake_;
  std::unique_ptr<nghttp2_session, SessionDeleter> session_;
  std::string rest_;
  const Clock::time_point made_ = Clock::now();
  bool greeted_ = false;
  bool lost_ = false;
  bool leaving_ = false;
  int32_t stream_ = 0;
  Incoming* in_ = nullptr;
  Outgoing* out_ = nullptr;
};

class Http2Transport : public Transport {
 public:
  Http2Transport(std::string address, std::string token)
      : address_(std::move(address)),
        token_(std::move(token)),
        wake_(std::make_shared<EventFd>()) {}

  Status call(const CallRequest& request,
              const std::function<std::optional<std::string>()>& next_request,
              const std::function<bool(std::string)>& on_reply) override {
    call_id_.clear();
    Clock::time_point until = Clock::time_point::max();
    if (request.timeout.count() > 0) until = Clock::now() + request.timeout;
    Status status = connect(until);
    if (!status.ok()) return status;
    auto out = std::make_shared<Outgoing>(wake_);
    Incoming in;
    if (!wire_->start(headers(request), out.get(), &in)) {
      return {IMCTL_INTERNAL, "the call to " + address_ + " could not be started"};
    }
    if (request.client_streams) {
      // It may wait for standard input longer than the call lives: nobody waits for it, and what it
      // holds is its own.
      std::thread([out, next_request] {
        while (std::optional<std::string> bytes = next_request()) {
          if (!out->put(*bytes)) return;
        }
        out->done();
      }).detach();
    } else {
      std::optional<std::string> only = next_request();
      out->put_last(only ? *only : std::string());
    }
    status = run(&in, until, on_reply);
    out->end();
    if (wire_ != nullptr) wire_->finish(!status.ok());
    cancelled_ = false;
    if (!status.ok()) call_id_ = in.call_id;
    return status;
  }

  void cancel() override {
    cancelled_ = true;
    wake_->set();
  }

  std::string call_id() const override { return call_id_; }
  std::string where() const override { return address_; }

 private:
  Status connect(Clock::time_point until) {
    if (wire_ != nullptr) wire_->look();
    if (wire_ != nullptr && wire_->usable()) return {};
    wire_.reset();
    std::chrono::nanoseconds patience = kPatience;
    if (until != Clock::time_point::max()) {
      patience = std::min(patience, std::chrono::nanoseconds(until - Clock::now()));
    }
    wake_->clear();
    if (cancelled_) return {IMCTL_CANCELLED, "cancelled"};
    Result<int> fd = connect_to(address_, patience, wake_->get());
    if (fd.ok()) {
      wire_ = std::make_unique<Wire>(*fd, wake_);
      return {};
    }
    wake_->clear();
    if (fd.status().code() != IMCTL_UNAVAILABLE) return fd.status();
    return no_host(fd.status().message());
  }
  Status no_host(const std::string& reason) const {
    return {IMCTL_UNAVAILABLE,
            "no host answers at " + address_ + " (" + reason +
                "): start one with `imctl serve`, name one with --server, or use --embedded"};
  }

  std::vector<std::pair<std::string, std::string>> headers(const CallRequest& request) const {
    bool local = address_.starts_with("unix:");
    std::vector<std::pair<std::string, std::string>> fields = {
        {":method", "POST"},
        {":scheme", "http"},
        {":path", request.method},
        {":authority", local ? "localhost" : address_},
        {"te", "trailers"},
        {"content-type", "application/grpc"},
        {"user-agent", "imctl/" IMCTL_VERSION}};
    if (request.timeout.count() > 0)
      fields.emplace_back("grpc-timeout", timeout_text(request.timeout));
    if (request.dry_run) fields.emplace_back(kDryRun, "1");
    if (!request.call_id.empty()) fields.emplace_back(kCallId, request.call_id);
    if (!token_.empty()) fields.emplace_back("authorization", "Bearer " + token_);
    return fields;
  }

  Status run(Incoming* in, Clock::time_point until,
             const std::function<bool(std::string)>& on_reply) {
    while (true) {
      bool good = true;
      while (std::optional<std::string> reply = in->next(&good)) {
        if (!on_reply(std::move(*reply))) return {IMCTL_CANCELLED, "cancelled"};
      }
      if (!good) return {IMCTL_INTERNAL, "the reply is compressed, which nobody asked for"};
      if (in->closed) return result(*in);
      if (wire_->lost()) {
        return in->http_status.empty()
                   ? no_host(wire_->greeted() ? "the connection was closed"
                                              : "the connection was closed, or speaks no HTTP/2")
                   : Status(IMCTL_UNAVAILABLE, "the connection to " + address_ + " was lost");
      }
      if (cancelled_) return {IMCTL_CANCELLED, "cancelled"};
      if (Clock::now() >= until) return {IMCTL_DEADLINE_EXCEEDED, "the time was over"};
      Clock::time_point wake = std::min(until, Clock::now() + std::chrono::hours(1));
      if (!wire_->greeted()) {
        if (Clock::now() >= wire_->patience()) {
          wire_.reset();
          return no_host("it takes the connection and says nothing");
        }
        wake = std::min(wake, wire_->patience());
      }
      wire_->step(wake);
    }
  }

  Status result(const Incoming& in) const {
    if (!in.code.empty()) {
      auto code = static_cast<imctl_code>(std::atoi(in.code.c_str()));
      return code == IMCTL_OK ? Status() : Status(code, in.message);
    }
    if (!in.http_status.empty() && in.http_status != "200") {
      return {code_of_http(in.http_status),
              "what answers at " + address_ + " is no gRPC server: HTTP status " + in.http_status};
    }
    if (in.reset == NGHTTP2_REFUSED_STREAM) {
      return {IMCTL_UNAVAILABLE, "the host at " + address_ + " takes no calls now"};
    }
    return {IMCTL_INTERNAL, "the host at " + address_ + " ended the call without a status"};
  }

  std::string address_;
  std::string token_;
  std::shared_ptr<EventFd> wake_;
  std::atomic<bool> cancelled_{false};
  std::string call_id_;
  std::unique_ptr<Wire> wire_;
};

}  // namespace

Result<std::unique_ptr<Transport>> make_http2_transport(const Connection& connection) {
  if (connection.tls) return Status(IMCTL_UNIMPLEMENTED, "TLS needs gRPC");
  Result<std::string> token = read_token(connection.context.token_file);
  if (!token.ok()) return token.status();
  std::unique_ptr<Transport> made =
      std::make_unique<Http2Transport>(connection.address, std::move(*token));
  return made;
}

}  // namespace imctl::host::cli
