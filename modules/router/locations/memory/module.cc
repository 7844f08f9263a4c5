// Locations in the memory of this process: for one cluster service, or several that call this host.
#include "common/replica_module.h"
#include "common/ticker.h"
#include "imctl/cluster/memory/v1/config.pb.h"

namespace imctl::locations {
namespace {

class MemoryLocations : public ReplicaModule {
 public:
  explicit MemoryLocations(const Host& host) : ReplicaModule(host) {}

  Status prepare(const Settings& settings) override {
    Replica::Options options;
    options.alone = true;
    begin(options, "memory");
    return apply(settings);
  }
  Status apply(const Settings& settings) override {
    set_lease(milliseconds(settings.as<cluster::memory::v1::Config>().lease()));
    return {};
  }
  Status activate() override {
    ticker_.start([this] { tick(); });
    return {};
  }
  Status quiesce() override {
    ticker_.stop();
    return {};
  }

 private:
  void send(Replica::Output /*output*/) override {}  // there is nobody

  Ticker ticker_;
};

}  // namespace
}  // namespace imctl::locations

using imctl::locations::MemoryLocations;
IMCTL_MODULE(MemoryLocations)
