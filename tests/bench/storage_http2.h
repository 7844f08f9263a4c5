// A client for small unary calls that knows just enough of HTTP/2 for them. A call costs a client
// of gRPC as much as it costs a quick server, so that with both on one machine it would be the
// client that is measured; this one takes a tenth of it.
#ifndef IMCTL_TESTS_BENCH_STORAGE_HTTP2_H
#define IMCTL_TESTS_BENCH_STORAGE_HTTP2_H

#include <cstdint>
#include <string>

#include "http2.h"
#include "storage_load.h"

namespace imctl::bench {

// One connection with calls of one method. Requests of less than 16 KB, each in one frame.
class SmallCaller {
 public:
  // Connects to a port of 127.0.0.1; throws.
  SmallCaller(int port, const std::string& method);
  SmallCaller(const SmallCaller&) = delete;
  SmallCaller& operator=(const SmallCaller&) = delete;
  ~SmallCaller();

  // As Caller::run.
  Load run(const Shape& shape, size_t in_flight, const More& more);

 private:
  struct Run;

  void send(Run* run, size_t lane);
  void receive(Run* run);
  void handle(Run* run, const http2::Frame& frame);
  void flush();

  const std::string method_;
  const int fd_;
  std::string out_, in_;
  uint32_t next_stream_ = 1;
  int64_t window_ = http2::kFirstWindow;  // what may be sent before the server takes it
};

}  // namespace imctl::bench

#endif  // IMCTL_TESTS_BENCH_STORAGE_HTTP2_H
