// What a flood of lines for the log does to calls.
#ifndef IMCTL_TESTS_BENCH_LOG_H
#define IMCTL_TESTS_BENCH_LOG_H

#include <vector>

#include "report.h"

namespace imctl::bench {

// A module's thread writes as many lines as it can, far more than the log can write to its file;
// calls of the same module are measured beside it. Against the same thread busy at lines of a level
// that is not logged: what it takes of the processor is not the log's doing. And against nothing.
void measure_log(std::vector<Figure>* figures, int rounds, int generations);

}  // namespace imctl::bench

#endif  // IMCTL_TESTS_BENCH_LOG_H
