#include "link/child_output.h"

#include <fcntl.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <utility>

namespace imctl::host {
namespace {

constexpr size_t kLongest = 2000;      // of a line
constexpr size_t kLinesASecond = 500;  // a stack has fewer
constexpr int kReads = 16;             // at once, so that the rest of the thread's work goes on

}  // namespace

ChildOutput::ChildOutput(int fd, Line line) : fd_(fd), line_(std::move(line)) {
  fcntl(fd_, F_SETFL, fcntl(fd_, F_GETFL) | O_NONBLOCK);
}

ChildOutput::~ChildOutput() { close(fd_); }

void ChildOutput::advance() {
  for (int i = 0; i < kReads && read_some(); ++i) {
  }
}

void ChildOutput::finish() {
  // A pipe holds so much; more can only come from somebody who inherited it.
  constexpr int kPipe = 64;
  for (int i = 0; i < kPipe && read_some(); ++i) {
  }
  if (!partial_.empty()) tell(std::exchange(partial_, {}));
  if (dropped_ > 0) line_("(" + std::to_string(std::exchange(dropped_, 0)) + " lines dropped)");
}

bool ChildOutput::read_some() {
  if (over_) return false;
  std::array<char, 4096> buffer;
  ssize_t got = read(fd_, buffer.data(), buffer.size());
  if (got < 0) {
    if (errno != EAGAIN && errno != EINTR) over_ = true;
    return false;
  }
  if (got == 0) {
    over_ = true;
    return false;
  }
  std::string_view text(buffer.data(), static_cast<size_t>(got));
  while (!text.empty()) {
    size_t end = text.find('\n');
    partial_.append(text.substr(0, end));
    text.remove_prefix(end == std::string_view::npos ? text.size() : end + 1);
    if (end != std::string_view::npos || partial_.size() > kLongest) {
      tell(std::exchange(partial_, {}));
    }
  }
  return true;
}

void ChildOutput::tell(std::string_view text) {
  auto now = std::chrono::steady_clock::now();
  if (now - second_ > std::chrono::seconds(1)) {
    second_ = now;
    in_second_ = 0;
    if (dropped_ > 0) line_("(" + std::to_string(std::exchange(dropped_, 0)) + " lines dropped)");
  }
  if (++in_second_ > kLinesASecond) {
    ++dropped_;
  } else if (!text.empty()) {
    line_(text);
  }
}

}  // namespace imctl::host
