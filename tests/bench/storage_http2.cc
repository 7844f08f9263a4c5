#include "storage_http2.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
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

enum : uint8_t { kData, kHeaders, kPriority, kReset, kSettings, kPush, kPing, kGoAway, kWindow };
constexpr uint8_t kEndStream = 1, kAck = 1, kEndHeaders = 4;
constexpr size_t kFrameHead = 9;
constexpr size_t kMessageHead = 5;  // of gRPC: not compressed, and the length

void append_int(std::string* to, uint64_t value, unsigned bytes) {
  while (bytes-- > 0) to->push_back(static_cast<char>(value >> (8 * bytes)));
}

uint32_t read_int(std::string_view from, size_t at, size_t bytes) {
  uint32_t value = 0;
  for (size_t i = 0; i < bytes; ++i) value = value << 8U | static_cast<uint8_t>(from[at + i]);
  return value;
}

void append_frame_head(std::string* to, size_t size, uint8_t type, uint8_t flags, uint32_t stream) {
  append_int(to, size, 3);
  append_int(to, type, 1);
  append_int(to, flags, 1);
  append_int(to, stream, 4);
}

void append_short(std::string* to, std::string_view text) {  // less than 127 bytes
  to->push_back(static_cast<char>(text.size()));
  to->append(text);
}

// The first puts what is the same for all into the connection's table, the others point there.
std::string headers(bool first, const std::string& method) {
  std::string block = "\x83\x86";  // POST, http
  if (!first) return block + "\xc1\xc0\xbf\xbe";
  block += '\x44';  // :path
  append_short(&block, method);
  block += '\x41';  // :authority
  append_short(&block, "localhost");
  block += '\x5f';  // content-type
  append_short(&block, "application/grpc");
  block += '\x40';
  append_short(&block, "te");
  append_short(&block, "trailers");
  return block;
}

}  // namespace

struct SmallCaller::Frame {
  uint8_t type;
  uint8_t flags;
  uint32_t stream;
  std::string_view data;
};

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

SmallCaller::SmallCaller(int port, const std::string& method) : method_(method) {
  fd_ = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  address.sin_port = htons(static_cast<uint16_t>(port));
  int yes = 1;
  setsockopt(fd_, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof(yes));
  if (connect(fd_, reinterpret_cast<sockaddr*>(&address), sizeof(address)) != 0) {
    close(fd_);
    throw std::runtime_error("no server listens at port " + std::to_string(port));
  }
  out_ = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
  append_frame_head(&out_, 0, kSettings, 0, 0);
  append_frame_head(&out_, 4, kWindow, 0, 0);
  append_int(&out_, 1U << 30U, 4);
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
  const std::string block = headers(next_stream_ == 1, method_);
  append_frame_head(&out_, block.size(), kHeaders, kEndHeaders, next_stream_);
  out_ += block;
  append_frame_head(&out_, size, kData, kEndStream, next_stream_);
  append_int(&out_, mine.request.size(), kMessageHead);
  out_ += mine.request;
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
  size_t at = 0;
  while (in_.size() - at >= kFrameHead) {
    std::string_view left = std::string_view(in_).substr(at);
    const size_t length = read_int(left, 0, 3);
    if (left.size() < kFrameHead + length) break;
    handle(run, {static_cast<uint8_t>(left[3]), static_cast<uint8_t>(left[4]),
                 read_int(left, 5, 4) & 0x7FFFFFFFU, left.substr(kFrameHead, length)});
    at += kFrameHead + length;
  }
  in_.erase(0, at);
}

void SmallCaller::handle(Run* run, const Frame& frame) {
  if (frame.type == kReset || frame.type == kGoAway) {
    throw std::runtime_error(method_ + ": the server ends it");
  }
  if ((frame.type == kSettings || frame.type == kPing) && (frame.flags & kAck) == 0) {
    const std::string_view answer = frame.type == kPing ? frame.data : "";
    append_frame_head(&out_, answer.size(), frame.type, kAck, 0);
    out_ += answer;
  }
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
