// Keeps calls to a store in flight, from one thread and with as little work as gRPC allows: it
// shares the processors with the server that it measures.
#ifndef IMCTL_TESTS_BENCH_STORAGE_LOAD_H
#define IMCTL_TESTS_BENCH_STORAGE_LOAD_H

#include <grpcpp/generic/generic_stub.h>
#include <grpcpp/grpcpp.h>

#include <chrono>
#include <functional>
#include <memory>
#include <string>

#include "load.h"

namespace imctl::bench {

struct Shape {
  std::string method;
  std::string request;
  std::function<void(char* request)> patch;                 // before each call
  std::function<bool(const grpc::ByteBuffer& reply)> good;  // whether it is the answer expected
};

// Whether another call is to be made.
using More = std::function<bool()>;
More times(size_t calls);
More during(std::chrono::milliseconds time);

class Caller {
 public:
  // Waits until the server answers; throws if it does not.
  explicit Caller(const std::string& address);

  Load run(const Shape& shape, size_t in_flight, const More& more);
  // One call; its answer.
  std::string call(const std::string& method, const std::string& request);

 private:
  grpc::GenericStub stub_;
};

}  // namespace imctl::bench

#endif  // IMCTL_TESTS_BENCH_STORAGE_LOAD_H
