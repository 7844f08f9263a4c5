// Questions that the process of an isolated module has for the host and waits for: its descriptors
// at work (imctl.json/1). They have a socket of their own, since a handler may ask while it is run
// by the link's thread, which could then not receive the answer.
#ifndef IMCTL_HOST_LINK_ASK_H
#define IMCTL_HOST_LINK_ASK_H

#include <cstddef>
#include <functional>
#include <mutex>
#include <string>
#include <string_view>

#include "imctl/status.h"
#include "road/buffer.h"

namespace imctl::host {

enum class Question : unsigned char { kToJson = 1, kFromJson = 2 };

// The most that a question or an answer may have.
inline constexpr size_t kMaxAsk = size_t{64} << 20;

// The module's end. [any thread], one at a time.
class Asker {
 public:
  explicit Asker(int fd) : fd_(fd) {}  // borrowed
  Result<BufferRef> ask(Question question, std::string_view type, std::string_view bytes);

 private:
  const int fd_;
  std::mutex mutex_;
};

// The host's end; one thread's. Never blocks.
class Answerer {
 public:
  using Answer =
      std::function<Result<BufferRef>(Question, std::string_view type, std::string_view bytes)>;

  // Takes `fd`.
  Answerer(int fd, Answer answer) : fd_(fd), answer_(std::move(answer)) {}
  Answerer(const Answerer&) = delete;
  Answerer& operator=(const Answerer&) = delete;
  ~Answerer();

  int fd() const { return fd_; }
  // What to poll for; 0: nothing more.
  short events() const;
  // Something of that is so. False: the other end is gone, or sent what cannot be.
  bool advance();

 private:
  bool receive();
  bool send();

  const int fd_;
  const Answer answer_;
  std::string in_;
  std::string out_;
  size_t sent_ = 0;
  bool over_ = false;
};

}  // namespace imctl::host

#endif  // IMCTL_HOST_LINK_ASK_H
