// Just enough of HTTP/2 for clients of gRPC that cost little: frames as bytes.
#ifndef IMCTL_TESTS_BENCH_HTTP2_H
#define IMCTL_TESTS_BENCH_HTTP2_H

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace imctl::bench::http2 {

enum Type : uint8_t {
  kData,
  kHeaders,
  kPriority,
  kReset,
  kSettings,
  kPush,
  kPing,
  kGoAway,
  kWindow
};
constexpr uint8_t kEndStream = 1, kAck = 1, kEndHeaders = 4;
constexpr size_t kFrameHead = 9;
constexpr size_t kMessageHead = 5;  // of gRPC: not compressed, and the length
constexpr int64_t kFirstWindow = 65535;

struct Frame {
  uint8_t type = 0;
  uint8_t flags = 0;
  uint32_t stream = 0;
  std::string_view data;
};

void append_int(std::string* to, uint64_t value, unsigned bytes);
uint32_t read_int(std::string_view from, size_t at, size_t bytes);
void append_frame_head(std::string* to, size_t size, uint8_t type, uint8_t flags, uint32_t stream);
void append_window(std::string* to, uint32_t stream, uint32_t bytes);
// What a connection begins with; `stream_window` is what the server may send on each stream, and
// much more than that on the connection.
void append_preface(std::string* to, uint32_t stream_window);
// Of a call, without an end of stream. The first of a connection puts what is the same for all into
// its table, the others point there: all calls are of one method.
void append_call(std::string* to, uint32_t stream, bool first, const std::string& method);
// A message of gRPC in a frame; less than 16 KB.
void append_message(std::string* to, uint32_t stream, uint8_t flags, std::string_view message);
// Answers pings and settings.
void append_answer(std::string* to, const Frame& frame);

// Takes the first frame off `from`; false: it is not all there.
bool take_frame(std::string_view* from, Frame* frame);

// Connects to a port of 127.0.0.1; throws.
int connect_to(int port);

}  // namespace imctl::bench::http2

#endif  // IMCTL_TESTS_BENCH_HTTP2_H
