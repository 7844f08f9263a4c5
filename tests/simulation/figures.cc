#include "figures.h"

namespace imctl::simulation {

int figures() { return 0; }

}  // namespace imctl::simulation
