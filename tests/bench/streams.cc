#include "streams.h"

#include <stdexcept>

namespace imctl::bench {

using namespace http2;  // NOLINT: all that this file is about

namespace {

constexpr uint32_t kStreamWindow = 0x7FFFFFFFU;
constexpr size_t kTellWindow = 1U << 24U;

}  // namespace

size_t Streams::connect(int port) {
  const size_t number = sockets_.add(connect_to(port));
  append_preface(sockets_.out(number), kStreamWindow);
  connections_.emplace_back();
  return number;
}

size_t Streams::open(size_t connection) {
  Connection& on = connections_[connection];
  const auto id = static_cast<uint32_t>(2 * on.streams.size() + 1);
  append_call(sockets_.out(connection), id, on.streams.empty(), method_);
  on.streams.push_back(streams_.size());
  streams_.push_back({connection, id, on.first_window, 0, {}});
  return streams_.size() - 1;
}

bool Streams::fits(const Stream& stream, size_t size) const {
  const auto needed = static_cast<int64_t>(size + kMessageHead);
  return stream.window >= needed && connections_[stream.connection].window >= needed;
}

void Streams::send(size_t number, std::string_view message) {
  Stream& stream = streams_[number];
  if (stream.blocked == 0 && fits(stream, message.size())) return write(&stream, message);
  ++stream.blocked;
  connections_[stream.connection].blocked.emplace_back(number, message);
}

void Streams::write(Stream* stream, std::string_view message) {
  const auto size = static_cast<int64_t>(message.size() + kMessageHead);
  stream->window -= size;
  connections_[stream->connection].window -= size;
  append_message(sockets_.out(stream->connection), stream->id, 0, message);
}

void Streams::turn(int milliseconds) {
  sockets_.turn(milliseconds, [this](size_t connection, std::string_view data) {
    std::string_view left = data;
    for (Frame frame; take_frame(&left, &frame);) handle(connection, frame);
    return data.size() - left.size();
  });
}

void Streams::handle(size_t number, const Frame& frame) {
  Connection& connection = connections_[number];
  const size_t index = (frame.stream - 1) / 2;
  const bool known = frame.stream != 0 && index < connection.streams.size();
  switch (frame.type) {
    case kGoAway: throw std::runtime_error(method_ + ": the server ends a connection");
    case kReset: throw std::runtime_error(method_ + ": the server resets a stream");
    case kHeaders:
      if ((frame.flags & kEndStream) == 0) return;
      throw std::runtime_error(method_ + ": a stream ended: " + std::string(frame.data));
    case kPing: return append_answer(sockets_.out(number), frame);
    case kSettings:
      if ((frame.flags & kAck) != 0) return;
      settings(&connection, frame.data);
      return append_answer(sockets_.out(number), frame);
    case kWindow:
      (known ? streams_[connection.streams[index]].window : connection.window) +=
          read_int(frame.data, 0, 4);
      return unblock(&connection);
    case kData:
      connection.received += frame.data.size();
      if (connection.received > kTellWindow) {
        append_window(sockets_.out(number), 0, static_cast<uint32_t>(connection.received));
        connection.received = 0;
      }
      if (known) data(&streams_[connection.streams[index]], connection.streams[index], frame.data);
      return;
    default: return;
  }
}

void Streams::settings(Connection* connection, std::string_view data) {
  constexpr size_t kSetting = 6;
  constexpr uint32_t kInitialWindow = 4;
  for (; data.size() >= kSetting; data.remove_prefix(kSetting)) {
    if (read_int(data, 0, 2) != kInitialWindow) continue;
    const int64_t first = read_int(data, 2, 4);
    for (size_t stream : connection->streams) {
      streams_[stream].window += first - connection->first_window;
    }
    connection->first_window = first;
  }
  unblock(connection);
}

void Streams::unblock(Connection* connection) {
  while (!connection->blocked.empty()) {
    auto& [number, message] = connection->blocked.front();
    Stream& stream = streams_[number];
    if (!fits(stream, message.size())) return;
    write(&stream, message);
    --stream.blocked;
    connection->blocked.pop_front();
  }
}

void Streams::data(Stream* stream, size_t number, std::string_view data) {
  std::string kept;
  if (!stream->partial.empty()) {
    stream->partial += data;
    kept.swap(stream->partial);
    data = kept;
  }
  while (data.size() >= kMessageHead) {
    const size_t size = read_int(data, 1, 4);
    if (data.size() < kMessageHead + size) break;
    message_(number, data.substr(kMessageHead, size));
    data.remove_prefix(kMessageHead + size);
  }
  // `message_` may open streams, so that they move.
  streams_[number].partial.assign(data);
}

}  // namespace imctl::bench
