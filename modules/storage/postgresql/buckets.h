// Bodies of messages are in tables by time, each for one bucket of it, which go as a whole when all
// in them is past its retention period.
#ifndef IMCTL_STORAGE_POSTGRESQL_BUCKETS_H
#define IMCTL_STORAGE_POSTGRESQL_BUCKETS_H

#include <cstdint>
#include <string>
#include <unordered_set>
#include <vector>

#include "connection.h"

namespace imctl::storage {

struct Bucket {
  int64_t number = 0;
  int64_t first = 0;  // from this time
  int64_t last = 0;   // to this one
};

// The table of a bucket's bodies.
std::string bodies(int64_t bucket);

// The writer's thread.
class Buckets {
 public:
  // The bucket for what is stored at `time`; makes it, in a transaction of its own unless the
  // connection is in one.
  Bucket at(Connection* db, int64_t time, int64_t width);
  // To be called when something failed: another host may have removed what is known here.
  void forget() { known_ = {0, 1, 0}; }

 private:
  Bucket known_{0, 1, 0};
};

// Where a message's body is.
struct BodyPlace {
  int64_t bucket = 0;
  int64_t time = 0;
  int64_t n = 0;
};

// Those of the buckets that are there.
std::unordered_set<int64_t> existing_buckets(Connection* db, const std::vector<BodyPlace>& places);

}  // namespace imctl::storage

#endif  // IMCTL_STORAGE_POSTGRESQL_BUCKETS_H
