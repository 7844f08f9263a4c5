#include <string>

#include "imctl/sdk.h"
#include "keeper.pb.h"

namespace {

using imctl::Buffer;
using imctl::Context;
using imctl::Result;
using imctl::Task;
using imctl::test::keeper::v1::CallReply;
using imctl::test::keeper::v1::CallRequest;

class Keeper : public imctl::Module {
 public:
  explicit Keeper(const imctl::Host& host) : Module(host) {
    serve("/imctl.test.keeper.v1.Keeper/Call", &Keeper::call);
  }

 private:
  Task<Result<CallReply>> call(const CallRequest& request, const Context& /*context*/) {
    imctl::Method<Buffer, Buffer> method(host(), request.method());
    Result<Buffer> answer = co_await method(host().copy(request.request()));
    if (!answer.ok()) co_return answer.status();
    CallReply reply;
    reply.set_reply(std::string(answer->view()));
    co_return reply;
  }
};

}  // namespace

IMCTL_MODULE(Keeper)
