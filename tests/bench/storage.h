// What the storage back ends do, through gRPC, against the engines that they stand on and against
// stores of their kind. Each puts its figures after those that are there.
#ifndef IMCTL_TESTS_BENCH_STORAGE_H
#define IMCTL_TESTS_BENCH_STORAGE_H

#include <cstdint>
#include <vector>

#include "report.h"

namespace imctl::bench {

// Batches of 100 messages of 1 KB, durable, 64 in flight; against SQLite in a loop.
void measure_put_batch(std::vector<Figure>* figures, int rounds, int generations);
// One message a call; against etcd.
void measure_put_single(std::vector<Figure>* figures, int rounds, int generations);
// Batches of 100 random ids out of a million; against SQLite in a loop.
void measure_get_batch(std::vector<Figure>* figures, int rounds);
// Append and Read, and what they cost beside the puts and gets of messages by id.
void measure_mailboxes(std::vector<Figure>* figures, int rounds);
// Clean of a million expired messages among a million that are not, while puts go on.
void measure_clean(std::vector<Figure>* figures);
// When there are so many messages against when there are few; and the memory then.
void measure_growth(std::vector<Figure>* figures, int rounds, uint64_t messages);
// Batches to a PostgreSQL server; against a loop of libpq at the same one.
void measure_postgresql(std::vector<Figure>* figures, int rounds);

}  // namespace imctl::bench

#endif  // IMCTL_TESTS_BENCH_STORAGE_H
