#include "link/ask.h"

#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdint>
#include <cstring>

#include "link/wire.h"

namespace imctl::host {
namespace {

// Each message: its length, then its fields.
using Length = uint32_t;

std::string with_length(std::string_view fields) {
  auto length = static_cast<Length>(fields.size());
  std::string bytes(reinterpret_cast<const char*>(&length), sizeof(length));
  return bytes.append(fields);
}

bool send_all(int fd, std::string_view bytes) {
  while (!bytes.empty()) {
    ssize_t sent = ::send(fd, bytes.data(), bytes.size(), MSG_NOSIGNAL);
    if (sent < 0 && errno == EINTR) continue;
    if (sent < 0) return false;
    bytes.remove_prefix(static_cast<size_t>(sent));
  }
  return true;
}

bool receive_all(int fd, char* to, size_t size) {
  while (size > 0) {
    ssize_t got = recv(fd, to, size, MSG_WAITALL);
    if (got < 0 && errno == EINTR) continue;
    if (got <= 0) return false;
    to += got;
    size -= static_cast<size_t>(got);
  }
  return true;
}

Status too_large() {
  return {IMCTL_RESOURCE_EXHAUSTED,
          "over 64 MiB: too large for JSON from a module in its own process"};
}

}  // namespace

Result<BufferRef> Asker::ask(Question question, std::string_view type, std::string_view bytes) {
  HeadWriter out;
  if (bytes.size() + type.size() > kMaxAsk / 2) return too_large();
  out.u8(static_cast<uint8_t>(question));
  out.str(type);
  out.str(bytes);
  std::lock_guard lock(mutex_);
  Length length = 0;
  std::string answer;
  bool good = send_all(fd_, with_length(out.bytes())) &&
              receive_all(fd_, reinterpret_cast<char*>(&length), sizeof(length));
  if (good) {
    answer.resize(length);
    good = receive_all(fd_, answer.data(), length);
  }
  if (!good) return Status(IMCTL_UNAVAILABLE, "the host is gone");
  HeadReader in(answer);
  auto code = static_cast<imctl_code>(in.i32());
  std::string_view text = in.str();
  if (code != IMCTL_OK) return Status(code, std::string(text));
  BufferRef made = BufferRef::copy_of(text);
  if (!made) return Status(IMCTL_RESOURCE_EXHAUSTED, "no memory");
  return made;
}

Answerer::~Answerer() { close(fd_); }

short Answerer::events() const {
  if (over_) return 0;
  return out_.empty() ? POLLIN : POLLOUT;  // the next question when this one is answered
}

bool Answerer::advance() {
  over_ = over_ || !(out_.empty() ? receive() : send());
  return !over_;
}

bool Answerer::receive() {
  std::array<char, size_t{64} << 10> buffer;
  ssize_t got = recv(fd_, buffer.data(), buffer.size(), MSG_DONTWAIT);
  if (got < 0) return errno == EAGAIN || errno == EINTR;
  if (got == 0) return false;
  in_.append(buffer.data(), static_cast<size_t>(got));
  Length length = 0;
  if (in_.size() < sizeof(length)) return true;
  std::memcpy(&length, in_.data(), sizeof(length));
  if (length > kMaxAsk) return false;
  if (in_.size() < sizeof(length) + length) return true;
  if (in_.size() > sizeof(length) + length) return false;  // one at a time
  HeadReader in(std::string_view(in_).substr(sizeof(length)));
  auto question = static_cast<Question>(in.u8());
  std::string_view type = in.str();
  std::string_view bytes = in.str();
  if (!in.at_end() || (question != Question::kToJson && question != Question::kFromJson)) {
    return false;
  }
  Result<BufferRef> answer = answer_(question, type, bytes);
  if (answer.ok() && answer->size() > kMaxAsk) answer = too_large();
  HeadWriter out;
  out.i32(answer.status().code());
  out.str(answer.ok() ? answer->view() : std::string_view(answer.status().message()));
  out_ = with_length(out.bytes());
  sent_ = 0;
  in_.clear();
  return send();
}

bool Answerer::send() {
  ssize_t sent = ::send(fd_, out_.data() + sent_, out_.size() - sent_, MSG_DONTWAIT | MSG_NOSIGNAL);
  if (sent < 0) return errno == EAGAIN || errno == EINTR;
  sent_ += static_cast<size_t>(sent);
  if (sent_ == out_.size()) out_.clear();
  return true;
}

}  // namespace imctl::host
