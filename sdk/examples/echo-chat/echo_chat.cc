#include <atomic>
#include <memory>
#include <optional>
#include <string>

#include "echo_chat.pb.h"
#include "imctl/sdk.h"

namespace {

namespace v1 = echo_chat::v1;
using imctl::Status;
using imctl::Task;

class EchoChat : public imctl::Module {
 public:
  explicit EchoChat(const imctl::Host& host) : Module(host) {
    serve("/echo_chat.v1.Chat/Count", &EchoChat::count);
    serve("/echo_chat.v1.Chat/Talk", &EchoChat::talk);
  }

 private:
  // A write waits while the reader is behind by more than the stream's window.
  Task<Status> count(const v1::CountRequest& request, imctl::Writer<v1::Number>& writer) {
    auto moving = std::make_shared<std::atomic<bool>>(false);
    writer.on_moving([moving] { *moving = true; });
    // What the caller of a stream that was moved gives back is what we had said then; whoever calls
    // may say anything.
    std::string token(writer.context().resume_token());
    uint64_t next = 1;
    if (!token.empty() && token.size() < 19 &&
        token.find_first_not_of("0123456789") == std::string::npos) {
      next = std::stoull(token);
    }
    for (; request.to() == 0 || next <= request.to(); ++next) {
      if (*moving) {
        writer.context().set_resume_token(std::to_string(next));
        co_return Status(IMCTL_UNAVAILABLE, "the module is being replaced: call again");
      }
      v1::Number number;
      number.set_number(next);
      if (!co_await writer.write(number)) break;  // nobody listens any more
    }
    co_return Status();
  }

  Task<Status> talk(imctl::Stream<v1::Line, v1::Line>& stream) {
    while (std::optional<v1::Line> line = co_await stream.read()) {
      if (!co_await stream.write(*line)) break;
    }
    co_return Status();
  }
};

}  // namespace

IMCTL_MODULE(EchoChat)
