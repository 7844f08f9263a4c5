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

class Flood {
 public:
  Flood(v1::Bench::Stub* stub, const v1::FloodRequest& request);
  Flood(const Flood&) = delete;
  Flood& operator=(const Flood&) = delete;
  ~Flood();  // ends it

 private:
  grpc::ClientContext context_;
  std::unique_ptr<grpc::ClientReader<v1::FloodReply>> reader_;
};

// What a client brings.
struct Proof {
  std::string token;      // empty: none
  std::string authority;  // a file in PEM; empty: no TLS
};

class Client {
 public:
  // Waits until the server answers; throws if it does not.
  explicit Client(const std::string& address, Proof proof = {});

  // Unary calls for `time`, `in_flight` at once.
  Load unary(int in_flight, std::chrono::milliseconds time);
  // One stream of that many messages of 1 KB.
  Load stream(uint32_t messages);
  // Has a module write lines to the log while the result lives: so many a second, or, with 0, as
  // fast as it can. `silent`: at a level that is not logged.
  std::unique_ptr<Flood> flood(uint32_t rate, bool silent);
  // Nanoseconds a call between two modules.
  double chain(uint32_t calls);

 private:
  const Proof proof_;
  std::unique_ptr<v1::Bench::Stub> stub_;
};

// Asks any server for its health, once; throws if it has no answer.
void answered(const std::string& address);

}  // namespace imctl::bench

#endif  // IMCTL_TESTS_BENCH_LOAD_H
