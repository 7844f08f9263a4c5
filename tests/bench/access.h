// What it costs that callers prove who they are.
#ifndef IMCTL_TESTS_BENCH_ACCESS_H
#define IMCTL_TESTS_BENCH_ACCESS_H

#include <vector>

#include "report.h"

namespace imctl::bench {

// Calls of a user by token, who needs a role for them, and the same over TLS, against calls to a
// host that asks nobody anything.
void measure_access(std::vector<Figure>* figures, int rounds);

}  // namespace imctl::bench

#endif  // IMCTL_TESTS_BENCH_ACCESS_H
