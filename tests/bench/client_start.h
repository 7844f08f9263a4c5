// A verb from a fresh process, as scripts call it.
#ifndef IMCTL_TESTS_BENCH_CLIENT_START_H
#define IMCTL_TESTS_BENCH_CLIENT_START_H

#include <vector>

#include "report.h"

namespace imctl::bench {

// `imctl message get ID` against the host, and `etcdctl get KEY` against etcd, in turns.
void measure_client_start(std::vector<Figure>* figures, int rounds);

}  // namespace imctl::bench

#endif  // IMCTL_TESTS_BENCH_CLIENT_START_H
