// The same service as generated code in a plain callback server, and one that passes calls on to
// another: what the host is measured against.
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

// Says what it was told first; then it listens.
class Talk final : public grpc::ServerBidiReactor<Payload, Payload> {
 public:
  Talk() { StartRead(&message_); }
  void OnReadDone(bool ok) override {
    if (!ok) return;  // cancelled, or the client goes: see OnCancel
    if (said_) return StartRead(&message_);
    said_ = true;
    StartWrite(&message_);
  }
  void OnWriteDone(bool ok) override {
    if (ok) StartRead(&message_);
  }
  void OnCancel() override { Finish(grpc::Status::CANCELLED); }
  void OnDone() override { delete this; }

 private:
  Payload message_;
  bool said_ = false;
};

class PlainTalks final : public Talks::CallbackService {
 public:
  grpc::ServerBidiReactor<Payload, Payload>* Talk(grpc::CallbackServerContext*) override {
    return new ::Talk;
  }
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

// Passes a stream on: one message at a time, the next when the client took the last.
class PassedOn final : public grpc::ServerWriteReactor<Payload> {
 public:
  PassedOn(Bench::Stub* stub, const SourceRequest& request) : incoming_(this), request_(request) {
    stub->async()->Source(&context_, &request_, &incoming_);
    incoming_.StartRead(&message_);
    incoming_.StartCall();
  }
  void OnWriteDone(bool ok) override {
    if (ok) {
      incoming_.StartRead(&message_);
    } else {
      context_.TryCancel();
    }
  }
  void OnDone() override { delete this; }

 private:
  struct Incoming final : grpc::ClientReadReactor<Payload> {
    explicit Incoming(PassedOn* o) : owner(o) {}
    void OnReadDone(bool ok) override {
      if (ok) owner->StartWrite(&owner->message_);
    }
    void OnDone(const grpc::Status& status) override { owner->Finish(status); }
    PassedOn* owner;
  };

  grpc::ClientContext context_;
  Incoming incoming_;
  SourceRequest request_;
  Payload message_;
};

class Relay final : public Bench::CallbackService {
 public:
  explicit Relay(const std::string& to)
      : stub_(Bench::NewStub(grpc::CreateChannel(to, grpc::InsecureChannelCredentials()))) {}

  grpc::ServerUnaryReactor* Unary(grpc::CallbackServerContext* context, const Payload* request,
                                  Payload* reply) override {
    grpc::ServerUnaryReactor* reactor = context->DefaultReactor();
    auto* onward = new grpc::ClientContext;
    stub_->async()->Unary(onward, request, reply, [reactor, onward](const grpc::Status& status) {
      reactor->Finish(status);
      delete onward;
    });
    return reactor;
  }
  grpc::ServerWriteReactor<Payload>* Source(grpc::CallbackServerContext*,
                                            const SourceRequest* request) override {
    return new PassedOn(stub_.get(), *request);
  }

 private:
  std::unique_ptr<Bench::Stub> stub_;
};

}  // namespace

int main(int argc, char** argv) {
  if (argc != 2 && argc != 3) {
    std::fprintf(stderr, "usage: %s HOST:PORT [PASS_ON_TO_HOST:PORT]\n", argv[0]);
    return 2;
  }
  std::unique_ptr<grpc::Service> service;
  if (argc == 3) {
    service = std::make_unique<Relay>(argv[2]);
  } else {
    service = std::make_unique<PlainBench>();
  }
  grpc::ServerBuilder builder;
  builder.AddListeningPort(argv[1], grpc::InsecureServerCredentials());
  builder.RegisterService(service.get());
  PlainTalks talks;
  builder.RegisterService(&talks);
  std::unique_ptr<grpc::Server> server = builder.BuildAndStart();
  if (server == nullptr) return 1;
  server->Wait();
}
