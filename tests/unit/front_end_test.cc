// The gRPC front end: methods on the fast path, and those that came later.
#include <grpcpp/generic/generic_stub.h>
#include <grpcpp/grpcpp.h>
#include <gtest/gtest.h>

#include <future>

#include "echo.pb.h"
#include "grpc/front_end.h"
#include "in_process.h"

namespace imctl::host {
namespace {

using imctl::test::echo::v1::Payload;

class FrontEndTest : public ::testing::Test {
 protected:
  void SetUp() override {
    ASSERT_TRUE(in_process.status.ok()) << in_process.status.message();
    Result<std::unique_ptr<FrontEnd>> started = FrontEnd::start(*in_process.host);
    ASSERT_TRUE(started.ok()) << started.status().message();
    front_end = std::move(*started);
    channel = grpc::CreateChannel(front_end->addresses()[0], grpc::InsecureChannelCredentials());
  }
  void TearDown() override {
    channel.reset();
    if (front_end != nullptr)
      front_end->close(std::chrono::system_clock::now() + std::chrono::seconds(10));
    if (in_process.host != nullptr) (void)in_process.host->stop();
    front_end.reset();
  }

  grpc::Status unary(const std::string& method, const Payload& request, Payload* reply) {
    std::string bytes = request.SerializeAsString();
    grpc::Slice slice(bytes.data(), bytes.size());
    grpc::ByteBuffer in(&slice, 1);
    grpc::ByteBuffer out;
    grpc::ClientContext context;
    std::promise<grpc::Status> done;
    grpc::GenericStub(channel).UnaryCall(&context, method, {}, &in, &out, [&](grpc::Status status) {
      done.set_value(std::move(status));
    });
    grpc::Status status = done.get_future().get();
    grpc::Slice got;
    if (status.ok() && out.DumpToSingleSlice(&got).ok()) {
      reply->ParseFromArray(got.begin(), static_cast<int>(got.size()));
    }
    return status;
  }

  InProcess in_process{"echo", {"host.auth=none", "host.listen=127.0.0.1:0"}};
  std::unique_ptr<FrontEnd> front_end;
  std::shared_ptr<grpc::Channel> channel;
};

TEST_F(FrontEndTest, KnownAtStart) {
  Payload request, reply;
  request.set_text("hello");
  request.set_data(std::string(100000, 'x'));  // past the size that is copied
  grpc::Status status = unary("/imctl.test.echo.v1.Echo/Unary", request, &reply);
  ASSERT_TRUE(status.ok()) << status.error_message();
  EXPECT_EQ(reply.data(), request.data());
}

TEST_F(FrontEndTest, WhatIsLoadedLaterIsServedToo) {
  Payload request, reply;
  request.set_text("late");
  EXPECT_EQ(unary("/imctl.test.late.v1.Late/Unary", request, &reply).error_code(),
            grpc::StatusCode::UNIMPLEMENTED);
  auto route = in_process.host->methods().find("/imctl.test.echo.v1.Echo/Unary")->route();
  in_process.host->methods().slot("/imctl.test.late.v1.Late/Unary")->set_route(route);
  grpc::Status status = unary("/imctl.test.late.v1.Late/Unary", request, &reply);
  ASSERT_TRUE(status.ok()) << status.error_message();
  EXPECT_EQ(reply.text(), "late");
}

TEST_F(FrontEndTest, StoppingAnswersUnavailable) {
  Payload request, reply;
  ASSERT_TRUE(unary("/imctl.test.echo.v1.Echo/Unary", request, &reply).ok());
  ASSERT_TRUE(in_process.host->stop().ok());
  grpc::Status status = unary("/imctl.test.echo.v1.Echo/Unary", request, &reply);
  EXPECT_EQ(status.error_code(), grpc::StatusCode::UNAVAILABLE) << status.error_message();
}

TEST(FrontEnd, RefusesToBeOpenToStrangers) {
  for (const auto& [listen, auth] : {std::pair{"0.0.0.0:0", "required"}, {"0.0.0.0:0", "none"}}) {
    InProcess in_process("echo",
                         {std::string("host.auth=") + auth, std::string("host.listen=") + listen});
    ASSERT_TRUE(in_process.status.ok()) << in_process.status.message();
    Result<std::unique_ptr<FrontEnd>> refused = FrontEnd::start(*in_process.host);
    EXPECT_EQ(refused.status().code(), IMCTL_FAILED_PRECONDITION);
    EXPECT_NE(refused.status().message().find("host.listen"), std::string::npos)
        << refused.status().message();
  }
}

}  // namespace
}  // namespace imctl::host
