#include "grpc/remote_watch.h"

#include <grpcpp/generic/generic_stub.h>

#include <algorithm>
#include <random>
#include <utility>
#include <vector>

#include "grpc/health/v1/health.pb.h"
#include "grpc/node_credential.h"
#include "grpc/remote_channel.h"

namespace imctl::host {
namespace {

namespace health = ::grpc::health::v1;

constexpr std::chrono::milliseconds kPause{250};  // between tries while the host is gone
constexpr std::chrono::seconds kUnstick{5};       // names are not looked up again sooner by gRPC
constexpr std::chrono::seconds kAnswer{3};
constexpr std::chrono::seconds kCompare{10};
constexpr std::chrono::seconds kAnnounce{30};

std::chrono::milliseconds with_jitter(std::chrono::milliseconds pause) {
  thread_local std::minstd_rand random{std::random_device{}()};
  std::uniform_real_distribution<double> factor(0.8, 1.2);
  return std::chrono::duration_cast<std::chrono::milliseconds>(pause * factor(random));
}

}  // namespace

// The health of each of the services, as the host tells it while it changes. All on one queue, that
// the watch's thread waits at.
class RemoteWatch::Streams {
 public:
  Streams(RemoteWatch& watch, const std::vector<std::string>& services)
      : watch_(watch), stub_(watch.channel_) {
    for (const std::string& service : services) {
      auto stream = std::make_unique<Stream>();
      stream->service = service;
      add_node_credential(watch.description_.settings, &stream->context);
      stream->call = stub_.PrepareCall(&stream->context, "/grpc.health.v1.Health/Watch", &queue_);
      (void)watch.enter(&stream->context);
      stream->call->StartCall(stream.get());
      ++open_;
      streams_.push_back(std::move(stream));
    }
  }
  Streams(const Streams&) = delete;
  Streams& operator=(const Streams&) = delete;
  ~Streams() {
    for (const auto& stream : streams_) stream->context.TryCancel();
    while (open_ > 0) wait(Clock::time_point::max());
    queue_.Shutdown();
    void* tag = nullptr;
    bool ok = false;
    while (queue_.Next(&tag, &ok)) {
    }
    for (const auto& stream : streams_) watch_.leave(&stream->context);
  }

  // Until something happened, or that time.
  void wait(Clock::time_point until) {
    auto limit = std::chrono::system_clock::time_point::max();
    if (until != Clock::time_point::max()) {
      limit = std::chrono::system_clock::now() +
              std::chrono::duration_cast<std::chrono::system_clock::duration>(until - Clock::now());
    }
    void* tag = nullptr;
    bool ok = false;
    if (queue_.AsyncNext(&tag, &ok, limit) == grpc::CompletionQueue::GOT_EVENT) {
      next(*static_cast<Stream*>(tag), ok);
    }
  }
  // One of them ended; why.
  bool is_over() const { return over_; }
  const std::string& why() const { return why_; }

  // All of them have been told of.
  bool is_known() const { return known_ == streams_.size(); }
  // The services that cannot do their work.
  std::string ill() const {
    std::string names;
    for (const auto& stream : streams_) {
      if (!stream->serving) names.append(names.empty() ? "" : ", ").append(stream->service);
    }
    return names;
  }

 private:
  enum class Step { kStart, kWrite, kRead, kFinish };
  struct Stream {
    std::string service;
    grpc::ClientContext context;
    std::unique_ptr<grpc::GenericClientAsyncReaderWriter> call;
    Step step = Step::kStart;
    grpc::ByteBuffer incoming;
    grpc::Status status;
    bool known = false;
    bool serving = false;
  };

  void next(Stream& stream, bool ok) {
    if (stream.step == Step::kFinish) {
      --open_;
      if (!std::exchange(over_, true)) why_ = reason_of(stream.status, stream.context);
      return;
    }
    if (!ok) {
      stream.step = Step::kFinish;
      stream.call->Finish(&stream.status, &stream);
      return;
    }
    if (stream.step == Step::kStart) {
      health::HealthCheckRequest request;
      request.set_service(stream.service);
      stream.step = Step::kWrite;
      stream.call->WriteLast(to_bytes(request), grpc::WriteOptions(), &stream);
      return;
    }
    if (stream.step == Step::kRead) {
      health::HealthCheckResponse reply;
      stream.serving = from_bytes(stream.incoming, &reply) &&
                       reply.status() == health::HealthCheckResponse::SERVING;
      if (!std::exchange(stream.known, true)) ++known_;
    }
    stream.step = Step::kRead;
    stream.call->Read(&stream.incoming, &stream);
  }

  RemoteWatch& watch_;
  grpc::CompletionQueue queue_;
  grpc::GenericStub stub_;
  std::vector<std::unique_ptr<Stream>> streams_;
  size_t open_ = 0;
  size_t known_ = 0;
  bool over_ = false;
  std::string why_;
};

void RemoteWatch::start() {
  stopping_ = false;
  told_ = false;
  digest_ = description_.digest;
  thread_ = std::thread([this] { loop(); });
}

void RemoteWatch::stop() {
  {
    std::lock_guard lock(mutex_);
    stopping_ = true;
    for (grpc::ClientContext* context : contexts_) context->TryCancel();
  }
  wake_.notify_all();
  if (thread_.joinable()) thread_.join();
}

void RemoteWatch::loop() {
  Clock::time_point unstuck = Clock::now();
  while (!stopping()) {
    std::string reason = look();
    if (stopping()) break;
    (void)tell(false, reason);
    if (Clock::now() - unstuck > kUnstick) {
      unstuck = Clock::now();
      grpc::experimental::ChannelResetConnectionBackoff(channel_.get());
    }
    std::unique_lock lock(mutex_);
    wake_.wait_for(lock, with_jitter(kPause), [this] { return stopping_; });
  }
}

std::string RemoteWatch::look() {
  std::string reason = compare();
  if (!reason.empty()) return reason;
  const auto& services = description_.manifest().serves();
  Streams streams(*this, {services.begin(), services.end()});
  Clock::time_point again = Clock::now() + kCompare;
  while (!streams.is_over()) {
    streams.wait(again);
    if (streams.is_known()) {
      std::string problem = streams.ill();
      if (!problem.empty()) {
        problem.insert(0, "the host there says that it cannot serve ");
      } else if (description_.digest.empty()) {
        problem = "it is there now; what it serves is being looked at";
      }
      bool changed = tell(problem.empty(), problem);
      // Maybe since another module is in their place now; that shows a moment later.
      if (changed) again = std::min(again, Clock::now() + kPause);
    }
    if (Clock::now() < again) continue;
    again = Clock::now() + kCompare;
    reason = compare();
    if (!reason.empty()) return reason;
  }
  return streams.why();
}

std::string RemoteWatch::compare() {
  grpc::ClientContext context;
  if (!enter(&context)) return "stopping";
  Result<v1::GetCatalogResponse> catalog =
      fetch_catalog(channel_, description_.settings, digest_, kAnswer, &context);
  leave(&context);
  if (!catalog.ok()) return catalog.status().message();
  if (catalog->digest() != digest_) {
    const auto& services = description_.manifest().serves();
    Result<std::shared_ptr<RemoteDescription>> now = describe_remote(
        description_.remote, {services.begin(), services.end()}, description_.settings, &*catalog);
    digest_ = catalog->digest();
    mismatch_ = now.ok() ? std::string() : now.status().message();
    differs_ = now.ok() && !description_.same_as(**now);
    announced_.reset();
  }
  if (differs_ && (!announced_ || Clock::now() - *announced_ > kAnnounce)) {
    announced_ = Clock::now();
    events_.on_changed();
  }
  return mismatch_;
}

bool RemoteWatch::tell(bool serving, const std::string& reason) {
  if (told_ && serving == serving_ && reason == reason_) return false;
  told_ = true;
  serving_ = serving;
  reason_ = reason;
  events_.on_health(serving, reason);
  return true;
}

bool RemoteWatch::stopping() {
  std::lock_guard lock(mutex_);
  return stopping_;
}

bool RemoteWatch::enter(grpc::ClientContext* context) {
  std::lock_guard lock(mutex_);
  contexts_.insert(context);
  if (stopping_) context->TryCancel();
  return !stopping_;
}

void RemoteWatch::leave(grpc::ClientContext* context) {
  std::lock_guard lock(mutex_);
  contexts_.erase(context);
}

}  // namespace imctl::host
