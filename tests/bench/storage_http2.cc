#include "storage_http2.h"

#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <stdexcept>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

namespace imctl::bench {
namespace {

using Clock = std::chrono::steady_clock;
using namespace http2;  // NOLINT: all that this file is about

}  // namespace

struct SmallCaller::Run {
  struct Lane {
    std::string request;
    std::string reply;
    Clock::time_point start;
  };
  const Shape& shape;
  More more;
  std::vector<Lane> lanes;
  std::unordered_map<uint32_t, size_t> streams;
  std::vector<size_t> blocked;  // lanes that wait for the window
  std::vector<double> micros;
};

SmallCaller::SmallCaller(int port, const std::string& method)
    : method_(method), fd_(connect_to(port)) {
  append_preface(&out_, kFirstWindow);
}

SmallCaller::~SmallCaller() { close(fd_); }

Load SmallCaller::run(const Shape& shape, size_t in_flight, const More& more) {
  Run run{shape, more, std::vector<Run::Lane>(in_flight), {}, {}, {}};
  const Clock::time_point begin = Clock::now();
  for (size_t lane = 0; lane < in_flight && run.more(); ++lane) {
    run.lanes[lane].request = shape.request;
    send(&run, lane);
  }
  while (!run.streams.empty() || !run.blocked.empty()) {
    flush();
    receive(&run);
  }
  flush();
  const double seconds = std::chrono::duration<double>(Clock::now() - begin).count();
  std::sort(run.micros.begin(), run.micros.end());
  if (run.micros.empty()) return {};
  return {static_cast<double>(run.micros.size()) / seconds, run.micros[run.micros.size() / 2],
          run.micros[run.micros.size() * 99 / 100]};
}

void SmallCaller::send(Run* run, size_t lane) {
  Run::Lane& mine = run->lanes[lane];
  const size_t size = mine.request.size() + kMessageHead;
  if (window_ < static_cast<int64_t>(size)) {
    run->blocked.push_back(lane);
    return;
  }
  window_ -= static_cast<int64_t>(size);
  run->shape.patch(mine.request.data());
  mine.reply.clear();
  mine.start = Clock::now();
  append_call(&out_, next_stream_, next_stream_ == 1, method_);
  append_message(&out_, next_stream_, kEndStream, mine.request);
  run->streams[next_stream_] = lane;
  next_stream_ += 2;
}

void SmallCaller::flush() {
  for (size_t sent = 0; sent < out_.size();) {
    ssize_t part = ::send(fd_, out_.data() + sent, out_.size() - sent, MSG_NOSIGNAL);
    if (part <= 0) throw std::runtime_error(method_ + ": the connection is lost");
    sent += static_cast<size_t>(part);
  }
  out_.clear();
}

void SmallCaller::receive(Run* run) {
  char part[65536];
  ssize_t size = recv(fd_, part, sizeof(part), 0);
  if (size <= 0) throw std::runtime_error(method_ + ": the connection is lost");
  in_.append(part, static_cast<size_t>(size));
  std::string_view left = in_;
  for (Frame frame; take_frame(&left, &frame);) handle(run, frame);
  in_.erase(0, in_.size() - left.size());
}

void SmallCaller::handle(Run* run, const Frame& frame) {
  if (frame.type == kReset || frame.type == kGoAway) {
    throw std::runtime_error(method_ + ": the server ends it");
  }
  append_answer(&out_, frame);
  if (frame.type == kWindow && frame.stream == 0) {
    window_ += read_int(frame.data, 0, 4);
    for (size_t lane : std::exchange(run->blocked, {})) send(run, lane);
  }
  if (frame.type != kData && frame.type != kHeaders) return;
  auto found = run->streams.find(frame.stream);
  if (found == run->streams.end()) return;
  const size_t lane = found->second;
  Run::Lane& mine = run->lanes[lane];
  if (frame.type == kData) mine.reply += frame.data;
  if ((frame.flags & kEndStream) == 0) return;
  run->streams.erase(found);
  run->micros.push_back(
      std::chrono::duration<double, std::micro>(Clock::now() - mine.start).count());
  // One that failed has no message.
  const bool there = mine.reply.size() >= kMessageHead;
  grpc::Slice message(there ? mine.reply.substr(kMessageHead) : std::string());
  if (!there || !run->shape.good(grpc::ByteBuffer(&message, 1))) {
    throw std::runtime_error(method_ + ": unexpected answer");
  }
  if (run->more()) send(run, lane);
}

}  // namespace imctl::bench
