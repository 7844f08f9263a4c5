#include "imctl/sdk.h"
#include "twin.pb.h"

namespace {

using imctl::test::twin::v1::Who;

class Twin : public imctl::Module {
 public:
  explicit Twin(const imctl::Host& handle) : Module(handle) {
    serve("/imctl.test.twin.v1.Twin/Get", &Twin::get);
  }

 private:
  imctl::Result<Who> get(const Who& request, const imctl::Context&) {
    Who who = request;
    who.set_only_in_a(who.only_in_a() + "a");
    who.set_name("twin-a");
    return who;
  }
};

}  // namespace

IMCTL_MODULE(Twin)
