#include "load.h"

#include <grpcpp/generic/generic_stub.h>
#include <grpcpp/grpcpp.h>

#include <algorithm>
#include <condition_variable>
#include <fstream>
#include <future>
#include <iterator>
#include <mutex>
#include <stdexcept>
#include <vector>

namespace imctl::bench {
namespace {

using Clock = std::chrono::steady_clock;
constexpr size_t kUnaryBytes = 64;
constexpr uint32_t kStreamBytes = 1024;

double microseconds(Clock::duration time) {
  return std::chrono::duration<double, std::micro>(time).count();
}

void check(const grpc::Status& status) {
  if (!status.ok()) throw std::runtime_error("a call failed: " + status.error_message());
}

std::shared_ptr<grpc::ChannelCredentials> credentials(const std::string& authority) {
  if (authority.empty()) return grpc::InsecureChannelCredentials();
  std::ifstream file(authority);
  grpc::SslCredentialsOptions options;
  options.pem_root_certs.assign(std::istreambuf_iterator<char>(file), {});
  return grpc::SslCredentials(options);
}

std::shared_ptr<grpc::Channel> connect(const std::string& address,
                                       const std::string& authority = {}) {
  grpc::ChannelArguments arguments;
  arguments.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);
  arguments.SetInt(GRPC_ARG_INITIAL_RECONNECT_BACKOFF_MS, 20);
  arguments.SetInt(GRPC_ARG_MIN_RECONNECT_BACKOFF_MS, 20);
  auto channel = grpc::CreateCustomChannel(address, credentials(authority), arguments);
  if (!channel->WaitForConnected(std::chrono::system_clock::now() + std::chrono::seconds(20))) {
    throw std::runtime_error("no server answers at " + address);
  }
  return channel;
}

// Keeps a number of unary calls in flight until the time is over.
class UnaryRun {
 public:
  UnaryRun(v1::Bench::Stub* stub, int in_flight, Clock::time_point end, const std::string& token)
      : stub_(stub), end_(end), bearer_("Bearer " + token), running_(in_flight) {
    request_.set_data(std::string(kUnaryBytes, 'x'));
    for (int i = 0; i < in_flight; ++i) lanes_.push_back(std::make_unique<Lane>());
  }
  std::vector<double> run() {
    for (auto& lane : lanes_) next(*lane);
    std::unique_lock lock(mutex_);
    done_.wait(lock, [this] { return running_ == 0; });
    std::vector<double> all;
    for (auto& lane : lanes_) all.insert(all.end(), lane->times.begin(), lane->times.end());
    return all;
  }

 private:
  struct Lane {
    std::unique_ptr<grpc::ClientContext> context;
    v1::Payload reply;
    Clock::time_point start;
    std::vector<double> times;
  };
  void next(Lane& lane) {
    lane.start = Clock::now();
    if (lane.start >= end_) {
      std::lock_guard lock(mutex_);
      if (--running_ == 0) done_.notify_one();
      return;
    }
    lane.context = std::make_unique<grpc::ClientContext>();
    if (bearer_.size() > kScheme) lane.context->AddMetadata("authorization", bearer_);
    stub_->async()->Unary(lane.context.get(), &request_, &lane.reply,
                          [this, &lane](const grpc::Status& status) {
                            check(status);
                            lane.times.push_back(microseconds(Clock::now() - lane.start));
                            next(lane);
                          });
  }

  v1::Bench::Stub* const stub_;
  static constexpr size_t kScheme = 7;
  const Clock::time_point end_;
  const std::string bearer_;
  v1::Payload request_;
  std::vector<std::unique_ptr<Lane>> lanes_;
  std::mutex mutex_;
  std::condition_variable done_;
  int running_;
};

}  // namespace

Flood::Flood(v1::Bench::Stub* stub, const v1::FloodRequest& request)
    : reader_(stub->Flood(&context_, request)) {
  v1::FloodReply begun;
  if (!reader_->Read(&begun)) check(reader_->Finish());
}

Flood::~Flood() {
  context_.TryCancel();
  v1::FloodReply reply;
  while (reader_->Read(&reply)) {
  }
  (void)reader_->Finish();
}

std::unique_ptr<Flood> Client::flood(uint32_t rate, bool silent) {
  v1::FloodRequest request;
  request.set_rate(rate);
  request.set_silent(silent);
  return std::make_unique<Flood>(stub_.get(), request);
}

Client::Client(const std::string& address, Proof proof)
    : proof_(std::move(proof)), stub_(v1::Bench::NewStub(connect(address, proof_.authority))) {}

void answered(const std::string& address) {
  grpc::GenericStub stub(connect(address));
  grpc::ClientContext context;
  grpc::Slice nothing(0);
  grpc::ByteBuffer request(&nothing, 1);
  grpc::ByteBuffer reply;
  std::promise<grpc::Status> done;
  stub.UnaryCall(&context, "/grpc.health.v1.Health/Check", {}, &request, &reply,
                 [&done](grpc::Status status) { done.set_value(std::move(status)); });
  check(done.get_future().get());
}

Load Client::unary(int in_flight, std::chrono::milliseconds time) {
  Clock::time_point start = Clock::now();
  std::vector<double> times = UnaryRun(stub_.get(), in_flight, start + time, proof_.token).run();
  double seconds = microseconds(Clock::now() - start) / 1e6;
  std::sort(times.begin(), times.end());
  return {static_cast<double>(times.size()) / seconds, times[times.size() / 2],
          times[times.size() * 99 / 100]};
}

Load Client::stream(uint32_t messages) {
  v1::SourceRequest request;
  request.set_messages(messages);
  request.set_size(kStreamBytes);
  grpc::ClientContext context;
  Clock::time_point start = Clock::now();
  auto reader = stub_->Source(&context, request);
  v1::Payload message;
  uint32_t got = 0;
  while (reader->Read(&message)) ++got;
  check(reader->Finish());
  if (got != messages) throw std::runtime_error("the stream lost messages");
  return {messages / (microseconds(Clock::now() - start) / 1e6), 0, 0};
}

double Client::chain(uint32_t calls) {
  v1::ChainRequest request;
  request.set_calls(calls);
  v1::ChainReply reply;
  grpc::ClientContext context;
  check(stub_->Chain(&context, request, &reply));
  return static_cast<double>(reply.nanoseconds()) / calls;
}

}  // namespace imctl::bench
