// Backups: how fast, how large, and what others notice of them.
#ifndef IMCTL_TESTS_BENCH_BACKUP_H
#define IMCTL_TESTS_BENCH_BACKUP_H

#include <cstdint>
#include <vector>

#include "report.h"

namespace imctl::bench {

// Of a storage with so many messages of 1 KB, on SQLite against `sqlite3 .backup`, whose copy zstd
// then compresses; the host's memory meanwhile; and the p99 of puts at full load while backups are
// made, against without.
void measure_backup(std::vector<Figure>* figures, uint64_t messages);
// The same on PostgreSQL against pg_dump. Throws if there is no server here.
void measure_backup_postgresql(std::vector<Figure>* figures, uint64_t messages);

}  // namespace imctl::bench

#endif  // IMCTL_TESTS_BENCH_BACKUP_H
