// The one client that all servers are measured with.
#ifndef IMCTL_TESTS_BENCH_LOAD_H
#define IMCTL_TESTS_BENCH_LOAD_H

#include <chrono>
#include <cstdint>
#include <memory>
#include <string>

#include "bench.grpc.pb.h"

namespace imctl::bench {

struct Load {
  double per_second = 0;
  double p50_us = 0;
  double p99_us = 0;
};

class Client {
 public:
  // Waits until the server answers; throws if it does not.
  explicit Client(const std::string& address);

  // Unary calls for `time`, `in_flight` at once.
  Load unary(int in_flight, std::chrono::milliseconds time);
  // One stream of that many messages of 1 KB.
  Load stream(uint32_t messages);
  // Nanoseconds a call between two modules.
  double chain(uint32_t calls);

 private:
  std::unique_ptr<v1::Bench::Stub> stub_;
};

// Asks any server for its health, once; throws if it has no answer.
void answered(const std::string& address);

}  // namespace imctl::bench

#endif  // IMCTL_TESTS_BENCH_LOAD_H
