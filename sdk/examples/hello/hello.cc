#include "hello.pb.h"
#include "imctl/sdk.h"

class Hello : public imctl::Module {
 public:
  explicit Hello(const imctl::Host& host) : Module(host) {
    serve("/hello.v1.Hello/Say", &Hello::say);
  }

 private:
  imctl::Result<hello::v1::SayReply> say(const hello::v1::SayRequest& request,
                                         const imctl::Context&) {
    hello::v1::SayReply reply;
    reply.set_text("Hello, " + request.who());
    return reply;
  }
};

IMCTL_MODULE(Hello)
