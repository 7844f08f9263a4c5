// What an IM node does with users who are connected, against ejabberd where it is installed. Each
// puts its figures after those that are there.
#ifndef IMCTL_TESTS_BENCH_IM_H
#define IMCTL_TESTS_BENCH_IM_H

#include <vector>

#include "report.h"

namespace imctl::bench {

// 200 and 400 users in pairs, a message of 200 bytes of each in flight, all durable before they are
// acknowledged, on the embedded SQLite; against ejabberd with an archive in PostgreSQL, which is
// durable too, and without one, which is not.
void measure_im_pairs(std::vector<Figure>* figures, int rounds);
// At half of what the node can do: how long a message takes.
void measure_im_latency(std::vector<Figure>* figures, int rounds);
// Two nodes and a Cluster Management Service, every message from one node to the other; against one
// node with the service in it. All with one PostgreSQL server.
void measure_im_cross(std::vector<Figure>* figures, int rounds);
// 10,000 users come back to 100 messages each.
void measure_im_offline(std::vector<Figure>* figures);
// Memory of 10,000 sessions that do nothing, above streams of a plain gRPC server.
void measure_im_idle(std::vector<Figure>* figures, int rounds);

}  // namespace imctl::bench

#endif  // IMCTL_TESTS_BENCH_IM_H
