// ejabberd with a PostgreSQL server, alone: on a free port, in a temporary folder, gone at the end.
#ifndef IMCTL_TESTS_BENCH_EJABBERD_H
#define IMCTL_TESTS_BENCH_EJABBERD_H

#include <optional>
#include <string>

#include "process.h"
#include "test_server.h"

namespace imctl::bench {

// Why it cannot be measured here; empty: it can.
std::string no_ejabberd();

class Ejabberd {
 public:
  // Each message is put into the archives (mod_mam) of both users, and is durable, when `archive`.
  // Users and archive are in PostgreSQL. Throws if it does not start.
  Ejabberd(size_t users, bool archive);

  int port() const { return port_; }
  // Of ejabberd and the database.
  double cpu_seconds() const;

 private:
  std::string configure(bool archive) const;

  Folder folder_;
  const int port_;
  storage::TestServer database_;
  std::optional<Process> process_;
};

}  // namespace imctl::bench

#endif  // IMCTL_TESTS_BENCH_EJABBERD_H
