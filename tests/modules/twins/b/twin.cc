#include "imctl/sdk.h"
#include "twin.pb.h"

namespace {

using imctl::test::twin::v1::Who;

class Twin : public imctl::Module {
 public:
  explicit Twin(const imctl::Host& handle) : Module(handle) {
    serve("/imctl.test.twin.v1.TwinB/Get", &Twin::get);
  }

 private:
  imctl::Result<Who> get(const Who& request, const imctl::Context&) {
    Who who = request;
    who.set_only_in_b(who.only_in_b() + 1);
    who.set_name("twin-b");
    return who;
  }
};

}  // namespace

IMCTL_MODULE(Twin)
