#include "http2.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <unistd.h>

#include <stdexcept>

namespace imctl::bench::http2 {
namespace {

constexpr uint16_t kInitialWindow = 4;  // a setting

void append_short(std::string* to, std::string_view text) {  // less than 127 bytes
  to->push_back(static_cast<char>(text.size()));
  to->append(text);
}

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

void append_window(std::string* to, uint32_t stream, uint32_t bytes) {
  append_frame_head(to, 4, kWindow, 0, stream);
  append_int(to, bytes, 4);
}

void append_preface(std::string* to, uint32_t stream_window) {
  *to += "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
  append_frame_head(to, 6, kSettings, 0, 0);
  append_int(to, kInitialWindow, 2);
  append_int(to, stream_window, 4);
  append_window(to, 0, 1U << 30U);
}

void append_call(std::string* to, uint32_t stream, bool first, const std::string& method) {
  const std::string block = headers(first, method);
  append_frame_head(to, block.size(), kHeaders, kEndHeaders, stream);
  *to += block;
}

void append_message(std::string* to, uint32_t stream, uint8_t flags, std::string_view message) {
  append_frame_head(to, message.size() + kMessageHead, kData, flags, stream);
  append_int(to, message.size(), kMessageHead);
  to->append(message);
}

void append_answer(std::string* to, const Frame& frame) {
  if ((frame.type != kSettings && frame.type != kPing) || (frame.flags & kAck) != 0) return;
  const std::string_view answer = frame.type == kPing ? frame.data : "";
  append_frame_head(to, answer.size(), frame.type, kAck, 0);
  to->append(answer);
}

bool take_frame(std::string_view* from, Frame* frame) {
  if (from->size() < kFrameHead) return false;
  const size_t length = read_int(*from, 0, 3);
  if (from->size() < kFrameHead + length) return false;
  *frame = {static_cast<uint8_t>((*from)[3]), static_cast<uint8_t>((*from)[4]),
            read_int(*from, 5, 4) & 0x7FFFFFFFU, from->substr(kFrameHead, length)};
  from->remove_prefix(kFrameHead + length);
  return true;
}

int connect_to(int port) {
  const int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  address.sin_port = htons(static_cast<uint16_t>(port));
  int yes = 1;
  setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof(yes));
  if (connect(fd, reinterpret_cast<sockaddr*>(&address), sizeof(address)) != 0) {
    close(fd);
    throw std::runtime_error("no server listens at port " + std::to_string(port));
  }
  return fd;
}

}  // namespace imctl::bench::http2
