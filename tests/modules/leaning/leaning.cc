#include "imctl/sdk.h"

namespace {
class Leaning : public imctl::Module {
 public:
  using Module::Module;
};
}  // namespace

IMCTL_MODULE(Leaning)
