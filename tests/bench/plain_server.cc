// The same service as generated code in a plain callback server: what the host is measured against.
#include <grpcpp/grpcpp.h>

#include <cstdio>
#include <string>

#include "bench.grpc.pb.h"

namespace {

using namespace imctl::bench::v1;  // NOLINT: all that this file is about

class Source final : public grpc::ServerWriteReactor<Payload> {
 public:
  explicit Source(const SourceRequest& request) : left_(request.messages()) {
    message_.set_data(std::string(request.size(), 'x'));
    next();
  }
  void OnWriteDone(bool ok) override {
    if (ok) {
      next();
    } else {
      Finish(grpc::Status::CANCELLED);
    }
  }
  void OnDone() override { delete this; }

 private:
  void next() {
    if (left_ == 0) return Finish(grpc::Status::OK);
    --left_;
    StartWrite(&message_);
  }

  uint32_t left_;
  Payload message_;
};

class PlainBench final : public Bench::CallbackService {
 public:
  grpc::ServerUnaryReactor* Unary(grpc::CallbackServerContext* context, const Payload* request,
                                  Payload* reply) override {
    *reply = *request;
    grpc::ServerUnaryReactor* reactor = context->DefaultReactor();
    reactor->Finish(grpc::Status::OK);
    return reactor;
  }
  grpc::ServerWriteReactor<Payload>* Source(grpc::CallbackServerContext*,
                                            const SourceRequest* request) override {
    return new ::Source(*request);
  }
};

}  // namespace

int main(int argc, char** argv) {
  if (argc != 2) {
    std::fprintf(stderr, "usage: %s HOST:PORT\n", argv[0]);
    return 2;
  }
  PlainBench service;
  grpc::ServerBuilder builder;
  builder.AddListeningPort(argv[1], grpc::InsecureServerCredentials());
  builder.RegisterService(&service);
  std::unique_ptr<grpc::Server> server = builder.BuildAndStart();
  if (server == nullptr) return 1;
  server->Wait();
}
