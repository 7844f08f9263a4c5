#include "bench.pb.h"
#include "imctl/sdk.h"

namespace {

// Does nothing, so that the time of a call is the road's.
class PeerModule : public imctl::Module {
 public:
  explicit PeerModule(const imctl::Host& handle) : Module(handle) {
    serve("/imctl.bench.v1.Peer/Unary", &PeerModule::unary);
  }

 private:
  imctl::Result<imctl::Buffer> unary(const imctl::Buffer& request, const imctl::Context&) {
    return request;
  }
};

}  // namespace

IMCTL_MODULE(PeerModule)
