#include <thread>

#include "echo_chat.pb.h"
#include "imctl/testing.h"

namespace {

namespace v1 = echo_chat::v1;
using imctl::testing::Host;

void counts(Host& host) {
  v1::CountRequest request;
  request.set_to(1000);
  auto call = host.server_stream<v1::Number>("/echo_chat.v1.Chat/Count", request);
  for (uint64_t expected = 1; expected <= request.to(); ++expected) {
    std::optional<v1::Number> number = call.read();
    IMCTL_CHECK(number && number->number() == expected);
  }
  IMCTL_CHECK(!call.read());
  IMCTL_CHECK(call.finish().ok());
}

void goes_on_in_the_copy_that_replaces_it(Host& host) {
  auto call = host.server_stream<v1::Number>("/echo_chat.v1.Chat/Count", v1::CountRequest());
  // The old copy is asked to end the stream while this thread reads on.
  std::thread replaced([&host] { IMCTL_CHECK(host.reload("echo-chat").ok()); });
  uint64_t last = 0;
  while (std::optional<v1::Number> number = call.read()) last = number->number();
  replaced.join();
  IMCTL_CHECK(call.finish().code() == IMCTL_UNAVAILABLE);
  std::string token = call.trailer(IMCTL_RESUME_KEY);
  IMCTL_CHECK(token == std::to_string(last + 1));

  imctl_metadata resume = {imctl::to_str(IMCTL_RESUME_KEY), imctl::to_str(token)};
  call = host.server_stream<v1::Number>("/echo_chat.v1.Chat/Count", v1::CountRequest(),
                                        {.metadata = {resume}});
  std::optional<v1::Number> next = call.read();
  IMCTL_CHECK(next && next->number() == last + 1);
}

void talks(Host& host) {
  auto call = host.stream<v1::Line, v1::Line>("/echo_chat.v1.Chat/Talk");
  for (const char* text : {"one", "two", "three"}) {
    v1::Line line;
    line.set_text(text);
    IMCTL_CHECK(call.write(line));
    std::optional<v1::Line> echo = call.read();
    IMCTL_CHECK(echo && echo->text() == text);
  }
  call.writes_done();
  IMCTL_CHECK(!call.read());
  IMCTL_CHECK(call.finish().ok());
}

}  // namespace

int main() {
  Host host(IMCTL_TEST_MODULE);
  counts(host);
  goes_on_in_the_copy_that_replaces_it(host);
  talks(host);
  return 0;
}
