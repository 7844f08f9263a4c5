// Bidirectional streams of one method of gRPC, many at once, for little: see http2.h.
#ifndef IMCTL_TESTS_BENCH_STREAMS_H
#define IMCTL_TESTS_BENCH_STREAMS_H

#include <cstdint>
#include <deque>
#include <functional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "http2.h"
#include "sockets.h"

namespace imctl::bench {

class Streams {
 public:
  using Message = std::function<void(size_t stream, std::string_view message)>;

  Streams(std::string method, Message message)
      : method_(std::move(method)), message_(std::move(message)) {}

  // A connection to a port of 127.0.0.1; its number.
  size_t connect(int port);
  // Opens a stream on it; its number, from 0 on.
  size_t open(size_t connection);
  // A message of less than 16 KB. Waits for the server's window if need be.
  void send(size_t stream, std::string_view message);
  // Handles what comes within that time. Throws when a stream ends.
  void turn(int milliseconds);
  size_t size() const { return streams_.size(); }

 private:
  struct Stream {
    size_t connection;
    uint32_t id;
    int64_t window;
    size_t blocked = 0;  // messages of it in Connection::blocked
    std::string partial;
  };
  struct Connection {
    std::vector<size_t> streams;  // by (id - 1) / 2
    int64_t window = http2::kFirstWindow;
    int64_t first_window = http2::kFirstWindow;  // of a stream
    size_t received = 0;                         // and not told yet
    std::deque<std::pair<size_t, std::string>> blocked;
  };
  bool fits(const Stream& stream, size_t size) const;
  void write(Stream* stream, std::string_view message);
  void handle(size_t connection, const http2::Frame& frame);
  void settings(Connection* connection, std::string_view data);
  void data(Stream* stream, size_t number, std::string_view data);
  void unblock(Connection* connection);

  const std::string method_;
  const Message message_;
  Sockets sockets_;
  std::vector<Connection> connections_;
  std::vector<Stream> streams_;
};

}  // namespace imctl::bench

#endif  // IMCTL_TESTS_BENCH_STREAMS_H
