// What a child process prints, line by line.
#ifndef IMCTL_HOST_LINK_CHILD_OUTPUT_H
#define IMCTL_HOST_LINK_CHILD_OUTPUT_H

#include <chrono>
#include <cstddef>
#include <functional>
#include <string>
#include <string_view>

namespace imctl::host {

// One thread's. Long lines are cut into pieces, and of very many lines most are dropped: whatever
// the child does, memory and the log stay bounded.
class ChildOutput {
 public:
  using Line = std::function<void(std::string_view text)>;

  // Takes `fd`, the reading end of a pipe.
  ChildOutput(int fd, Line line);
  ChildOutput(const ChildOutput&) = delete;
  ChildOutput& operator=(const ChildOutput&) = delete;
  ~ChildOutput();

  int fd() const { return fd_; }
  bool over() const { return over_; }  // no more will come
  // Reads what is there, without blocking.
  void advance();
  // The child is gone: what it left, to the last line.
  void finish();

 private:
  bool read_some();
  void tell(std::string_view text);

  const int fd_;
  const Line line_;
  std::string partial_;
  bool over_ = false;
  std::chrono::steady_clock::time_point second_;
  size_t in_second_ = 0;
  size_t dropped_ = 0;
};

}  // namespace imctl::host

#endif  // IMCTL_HOST_LINK_CHILD_OUTPUT_H
