#include "storage_load.h"

#include <algorithm>
#include <future>
#include <optional>
#include <stdexcept>
#include <vector>

namespace imctl::bench {
namespace {

using Clock = std::chrono::steady_clock;

std::shared_ptr<grpc::Channel> connect(const std::string& address) {
  grpc::ChannelArguments arguments;
  arguments.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);
  arguments.SetInt(GRPC_ARG_INITIAL_RECONNECT_BACKOFF_MS, 20);
  arguments.SetInt(GRPC_ARG_MIN_RECONNECT_BACKOFF_MS, 20);
  auto channel = grpc::CreateCustomChannel(address, grpc::InsecureChannelCredentials(), arguments);
  if (!channel->WaitForConnected(std::chrono::system_clock::now() + std::chrono::seconds(20))) {
    throw std::runtime_error("no server answers at " + address);
  }
  return channel;
}

// One of the calls that are in flight.
struct Lane {
  std::string request;
  std::optional<grpc::ClientContext> context;
  std::unique_ptr<grpc::GenericClientAsyncResponseReader> call;
  grpc::ByteBuffer reply;
  grpc::Status status;
  Clock::time_point start;
};

void start(Lane* lane, const Shape& shape, grpc::GenericStub* stub, grpc::CompletionQueue* queue) {
  shape.patch(lane->request.data());
  // Not copied: it stays as it is until the answer is here.
  grpc::Slice slice(lane->request.data(), lane->request.size(), grpc::Slice::STATIC_SLICE);
  grpc::ByteBuffer request(&slice, 1);
  lane->reply.Clear();
  lane->context.emplace();
  lane->start = Clock::now();
  lane->call = stub->PrepareUnaryCall(&*lane->context, shape.method, request, queue);
  lane->call->StartCall();
  lane->call->Finish(&lane->reply, &lane->status, lane);
}

}  // namespace

More times(size_t calls) {
  return [calls]() mutable { return calls > 0 && calls-- > 0; };
}

More during(std::chrono::milliseconds time) {
  return [end = Clock::now() + time] { return Clock::now() < end; };
}

Caller::Caller(const std::string& address) : stub_(connect(address)) {}

Load Caller::run(const Shape& shape, size_t in_flight, const More& more) {
  grpc::CompletionQueue queue;
  std::vector<Lane> lanes(in_flight);
  std::vector<double> micros;
  const Clock::time_point begin = Clock::now();
  More go_on = more;  // it may count
  size_t running = 0;
  for (Lane& lane : lanes) {
    if (!go_on()) break;
    lane.request = shape.request;
    start(&lane, shape, &stub_, &queue);
    ++running;
  }
  std::string failure;
  void* tag = nullptr;
  bool ok = false;
  while (running > 0 && queue.Next(&tag, &ok)) {
    Lane* lane = static_cast<Lane*>(tag);
    micros.push_back(std::chrono::duration<double, std::micro>(Clock::now() - lane->start).count());
    if (!lane->status.ok()) failure = lane->status.error_message();
    if (lane->status.ok() && !shape.good(lane->reply)) failure = "unexpected answer";
    if (failure.empty() && go_on()) {
      start(lane, shape, &stub_, &queue);
    } else {
      --running;
    }
  }
  const double seconds = std::chrono::duration<double>(Clock::now() - begin).count();
  queue.Shutdown();
  while (queue.Next(&tag, &ok)) {
  }
  if (!failure.empty()) throw std::runtime_error(shape.method + ": " + failure);
  if (micros.empty()) return {};
  std::sort(micros.begin(), micros.end());
  return {static_cast<double>(micros.size()) / seconds, micros[micros.size() / 2],
          micros[micros.size() * 99 / 100]};
}

std::string Caller::call(const std::string& method, const std::string& request) {
  grpc::ClientContext context;
  grpc::Slice slice(request);
  grpc::ByteBuffer bytes(&slice, 1);
  grpc::ByteBuffer reply;
  std::promise<grpc::Status> done;
  stub_.UnaryCall(&context, method, {}, &bytes, &reply,
                  [&done](grpc::Status status) { done.set_value(std::move(status)); });
  grpc::Status status = done.get_future().get();
  if (!status.ok()) throw std::runtime_error(method + ": " + status.error_message());
  std::vector<grpc::Slice> slices;
  (void)reply.Dump(&slices);
  std::string answer;
  for (const grpc::Slice& part : slices) {
    answer.append(reinterpret_cast<const char*>(part.begin()), part.size());
  }
  return answer;
}

}  // namespace imctl::bench
