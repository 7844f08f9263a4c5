// What it costs that a module is in a process of its own, or on another host.
#ifndef IMCTL_TESTS_BENCH_HOPS_H
#define IMCTL_TESTS_BENCH_HOPS_H

#include <vector>

#include "report.h"

namespace imctl::bench {

// Against the module in the host's process, and against a plain gRPC server behind a plain gRPC
// server that passes calls on: the hop that one would have otherwise.
void measure_hops(std::vector<Figure>* figures, int rounds, int generations);

}  // namespace imctl::bench

#endif  // IMCTL_TESTS_BENCH_HOPS_H
