// SQLite without anything around it, in this process: rows of 1 KB with a unique index on a random
// 16-byte id, with the durability and the pages of the host's back end.
#ifndef IMCTL_TESTS_BENCH_STORAGE_RAW_H
#define IMCTL_TESTS_BENCH_STORAGE_RAW_H

#include <sqlite3.h>

#include <chrono>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "load.h"

namespace imctl::bench {

class RawConnection {
 public:
  explicit RawConnection(const std::string& path);
  void exec(const std::string& sql);
  using Statement = std::unique_ptr<sqlite3_stmt, int (*)(sqlite3_stmt*)>;
  Statement prepare(const std::string& sql);
  // Of a result that SQLite gave; throws unless it is `wanted`.
  void check(int result, int wanted) const;

 private:
  std::unique_ptr<sqlite3, int (*)(sqlite3*)> db_;
};

class RawStore {
 public:
  explicit RawStore(const std::string& folder);

  // Rows with the next ids of Uuid::numbered; rows a second.
  Load put(uint64_t rows, int rows_a_transaction);
  // Batches of kBatch random ids of what is stored; `clients` threads, each with a connection of
  // its own, which stays, and a read transaction a batch. Batches a second.
  Load get(size_t clients, std::chrono::milliseconds time);

 private:
  const std::string path_;
  RawConnection writer_;
  RawConnection::Statement insert_;
  std::vector<std::unique_ptr<RawConnection>> readers_;
  const std::string data_;
  uint64_t size_ = 0;
};

}  // namespace imctl::bench

#endif  // IMCTL_TESTS_BENCH_STORAGE_RAW_H
