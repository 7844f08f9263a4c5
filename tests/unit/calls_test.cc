// Calls down the one road, in process.
#include <gtest/gtest.h>

#include <chrono>
#include <random>
#include <thread>

#include "echo.pb.h"
#include "in_process.h"

namespace imctl::host {
namespace {

using namespace imctl::test::echo::v1;  // NOLINT: the messages that all of this is about

const std::string kEcho = "/imctl.test.echo.v1.Echo/";

class Calls : public ::testing::Test {
 protected:
  void SetUp() override { ASSERT_TRUE(in_process.status.ok()) << in_process.status.message(); }
  Host& host() { return *in_process.host; }
  static Payload payload(const std::string& text, uint32_t count = 0) {
    Payload p;
    p.set_text(text);
    p.set_count(count);
    return p;
  }
  Stats stats() {
    Result<Stats> stats = call<Stats>(host(), kEcho + "GetStats", Payload());
    EXPECT_TRUE(stats.ok());
    return *stats;
  }
  // Until it holds; the test's own time limit is the bound.
  template <class F>
  static void until(F&& holds) {
    while (!holds()) std::this_thread::yield();
  }

  InProcess in_process{"echo",
                       {"echo.stream_window=1KiB", "echo.pool_threads=2", "echo.pool_queue=4"}};
};

TEST_F(Calls, UnaryAtOnceLaterAndOnThePool) {
  for (const char* method : {"Unary", "Later", "Blocking"}) {
    Result<Payload> reply = call<Payload>(host(), kEcho + method, payload("hello"));
    ASSERT_TRUE(reply.ok()) << method << ": " << reply.status().message();
    EXPECT_EQ(reply->text(), "hello");
  }
}

TEST_F(Calls, ContextSaysWhoCalls) {
  CallParams params;
  params.principal_kind = IMCTL_PRINCIPAL_ADMIN;
  params.principal = "root";
  params.call_id = "id-1";
  params.metadata = {{"x-test", "value"}};
  params.flags = IMCTL_DRY_RUN;
  params.deadline = monotonic_now() + std::int64_t{60} * 1000 * 1000 * 1000;
  TestCall made(host(), kEcho + "Context", "", false, std::move(params));
  ASSERT_TRUE(made.wait().ok());
  Seen seen;
  ASSERT_TRUE(seen.ParseFromString(made.reply()));
  EXPECT_EQ(seen.principal(), "root");
  EXPECT_EQ(seen.principal_kind(), static_cast<uint32_t>(IMCTL_PRINCIPAL_ADMIN));
  EXPECT_EQ(seen.call_id(), "id-1");
  EXPECT_EQ(seen.metadata(), "value");
  EXPECT_EQ(seen.caller_module(), "");
  EXPECT_TRUE(seen.dry_run());
  EXPECT_TRUE(seen.has_deadline());
  EXPECT_EQ(made.trailers(), (Metadata{{"x-trailer", "seen"}, {"x-test", "value"}}));
}

TEST_F(Calls, NestedCallsInherit) {
  CallParams params;
  params.principal_kind = IMCTL_PRINCIPAL_ADMIN;
  params.principal = "root";
  params.call_id = "id-2";
  Result<Seen> seen = call<Seen>(host(), kEcho + "Nest", payload("", 5), std::move(params));
  ASSERT_TRUE(seen.ok()) << seen.status().message();
  EXPECT_EQ(seen->depth(), 5u);
  EXPECT_EQ(seen->principal(), "root");
  EXPECT_EQ(seen->call_id(), "id-2");
  EXPECT_EQ(seen->caller_module(), "echo");
}

TEST_F(Calls, DepthIsBounded) {
  Result<Seen> seen = call<Seen>(host(), kEcho + "Nest", payload("", 17));
  EXPECT_EQ(seen.status().code(), IMCTL_RESOURCE_EXHAUSTED);
  EXPECT_NE(seen.status().message().find("host.max_depth"), std::string::npos);
}

TEST_F(Calls, AsItselfOnlyWhatTheManifestNeeds) {
  Result<Payload> denied =
      call<Payload>(host(), kEcho + "AsItself", payload("/imctl.host.v1.Modules/List"));
  EXPECT_EQ(denied.status().code(), IMCTL_PERMISSION_DENIED);
  Result<Payload> own = call<Payload>(host(), kEcho + "AsItself", payload(kEcho + "Unary"));
  ASSERT_TRUE(own.ok()) << own.status().message();
  EXPECT_EQ(own->text(), kEcho + "Unary");
  Result<Payload> nobody =
      call<Payload>(host(), kEcho + "AsItself", payload("/no.such.Service/Method"));
  EXPECT_EQ(nobody.status().code(), IMCTL_UNIMPLEMENTED);
}

TEST_F(Calls, WaitingOnThePoolForAnother) {
  Result<Payload> reply = call<Payload>(host(), kEcho + "Wait", payload("waited"));
  ASSERT_TRUE(reply.ok()) << reply.status().message();
  EXPECT_EQ(reply->text(), "waited");
}

TEST_F(Calls, WaitingInACircleDoesNotUseUpThePool) {
  std::vector<std::unique_ptr<TestCall>> calls;
  calls.reserve(4);
  for (int i = 0; i < 4; ++i) {  // two threads, and four calls that each wait for three more
    calls.push_back(
        std::make_unique<TestCall>(host(), kEcho + "Wait", payload("deep", 3).SerializeAsString()));
  }
  for (auto& made : calls) EXPECT_TRUE(made->wait().ok()) << made->wait().message();
}

TEST_F(Calls, AStreamOfAModuleToAnother) {
  TestCall made(host(), kEcho + "Proxy", "", true);
  for (int i = 0; i < 50; ++i) {
    std::string sent = payload("line " + std::to_string(i)).SerializeAsString();
    ASSERT_EQ(made.write(sent), true);
    EXPECT_EQ(made.read(), sent);
  }
  made.writes_done();
  EXPECT_FALSE(made.read().has_value());
  EXPECT_TRUE(made.wait().ok()) << made.wait().message();
}

TEST_F(Calls, AStreamToNobodyEnds) {
  TestCall made(host(), kEcho + "Proxy", "", true);
  made.write(payload("nowhere").SerializeAsString());
  EXPECT_EQ(made.wait().code(), IMCTL_UNIMPLEMENTED);
}

TEST_F(Calls, TrailersThatMetadataCannotCarryAreDropped) {
  CallParams params;
  params.metadata = {{"x-test", "no\nline"}};
  TestCall made(host(), kEcho + "Context", "", false, std::move(params));
  ASSERT_TRUE(made.wait().ok());
  EXPECT_EQ(made.trailers(), (Metadata{{"x-trailer", "seen"}}));
}

TEST_F(Calls, AccessIsTheStrictestByDefault) {
  for (imctl_principal_kind kind : {IMCTL_PRINCIPAL_USER, IMCTL_PRINCIPAL_NODE}) {
    CallParams params;
    params.principal_kind = kind;
    params.principal = "someone";
    Result<Payload> reply = call<Payload>(host(), kEcho + "Unary", payload("x"), std::move(params));
    EXPECT_EQ(reply.status().code(), IMCTL_PERMISSION_DENIED);
  }
}

TEST_F(Calls, DryRunOnlyWhereDeclared) {
  CallParams params;
  params.flags = IMCTL_DRY_RUN;
  Result<Payload> reply = call<Payload>(host(), kEcho + "Later", payload("x"), std::move(params));
  EXPECT_EQ(reply.status().code(), IMCTL_FAILED_PRECONDITION);
}

TEST_F(Calls, WhatAHandlerDoesWrongEndsItsCallOnly) {
  Result<Payload> thrown = call<Payload>(host(), kEcho + "Throw", payload("boom"));
  EXPECT_EQ(thrown.status().code(), IMCTL_INTERNAL);
  EXPECT_NE(thrown.status().message().find("boom"), std::string::npos);
  EXPECT_EQ(call<Payload>(host(), kEcho + "Drop", payload("x")).status().code(), IMCTL_INTERNAL);
  EXPECT_TRUE(call<Payload>(host(), kEcho + "Unary", payload("x")).ok());
}

TEST_F(Calls, BytesThatAreNoMessage) {
  TestCall made(host(), kEcho + "Unary", "\xff\xff\xff");
  EXPECT_EQ(made.wait().code(), IMCTL_INVALID_ARGUMENT);
}

TEST_F(Calls, CancelIsToldToBothEnds) {
  {
    TestCall made(host(), kEcho + "Hang", "");
    made.cancel();
    EXPECT_EQ(made.wait().code(), IMCTL_CANCELLED);
  }
  until([&] { return stats().cancelled() == 1; });
}

TEST_F(Calls, DeadlineEndsTheCallForTheCaller) {
  CallParams params;
  params.deadline = monotonic_now() + std::int64_t{20} * 1000 * 1000;
  Result<Payload> reply = call<Payload>(host(), kEcho + "Hang", payload(""), std::move(params));
  EXPECT_EQ(reply.status().code(), IMCTL_DEADLINE_EXCEEDED);
  until([&] { return stats().cancelled() == 1; });

  CallParams past;
  past.deadline = 1;
  EXPECT_EQ(call<Payload>(host(), kEcho + "Unary", payload(""), std::move(past)).status().code(),
            IMCTL_DEADLINE_EXCEEDED);
}

TEST_F(Calls, ServerStreamIsPulled) {
  TestCall made(host(), kEcho + "Source", payload("", 1000).SerializeAsString());
  for (uint32_t i = 0; i < 1000; ++i) {
    std::optional<std::string> message = made.read();
    ASSERT_TRUE(message.has_value());
    Payload p;
    ASSERT_TRUE(p.ParseFromString(*message));
    EXPECT_EQ(p.count(), i);
  }
  EXPECT_FALSE(made.read().has_value());
  EXPECT_TRUE(made.wait().ok());
}

TEST_F(Calls, ASourceThatNobodyReadsStopsAtItsWindow) {
  Payload request;
  request.set_data(std::string(100, 'x'));
  {
    TestCall made(host(), kEcho + "Source", request.SerializeAsString());
    // The handler has begun when the call was started: what it could write, it has written.
    uint64_t written = stats().written();
    EXPECT_GE(written, 5u);
    EXPECT_LE(written, 11u);  // 1 KiB of 100-byte messages
    EXPECT_LE(host().find_module("echo")->stream_bytes(), 1024u + 200u);
    made.read();
    EXPECT_EQ(stats().written(), written + 1);
  }
  EXPECT_EQ(host().find_module("echo")->stream_bytes(), 0u);
  EXPECT_EQ(stats().cancelled(), 1u);
}

TEST_F(Calls, ClientStreamAndItsReply) {
  TestCall made(host(), kEcho + "Sink", "", true);
  for (int i = 0; i < 100; ++i) ASSERT_EQ(made.write(payload("x").SerializeAsString()), true);
  made.writes_done();
  ASSERT_TRUE(made.wait().ok());
  Payload total;
  ASSERT_TRUE(total.ParseFromString(made.reply()));
  EXPECT_EQ(total.count(), 100u);
}

TEST_F(Calls, AWriterThatNobodyReadsWaitsAtTheWindow) {
  TestCall made(host(), kEcho + "Deaf", "", true);
  std::string message(300, 'x');
  int accepted = 0;
  while (made.write(message, std::chrono::milliseconds(accepted < 2 ? 30000 : 50)).has_value())
    ++accepted;
  EXPECT_EQ(accepted, 2);  // 1 KiB
  made.cancel();
  EXPECT_EQ(made.wait().code(), IMCTL_CANCELLED);
}

TEST_F(Calls, MessagesWithoutBytesTakeRoomToo) {
  TestCall made(host(), kEcho + "Deaf", "", true);
  int accepted = 0;
  while (made.write("", std::chrono::milliseconds(accepted < 16 ? 30000 : 50)).has_value()) {
    ASSERT_LT(++accepted, 17);  // 1 KiB
  }
  made.cancel();
  EXPECT_EQ(made.wait().code(), IMCTL_CANCELLED);
  EXPECT_EQ(host().find_module("echo")->stream_bytes(), 0u);
}

TEST_F(Calls, ManyStreamsOfLargeMessagesAreBoundedTogether) {
  InProcess small{"echo", {"echo.stream_window=1KiB", "echo.streams_memory=64KiB"}};
  ASSERT_TRUE(small.status.ok()) << small.status.message();
  std::vector<std::unique_ptr<TestCall>> streams;
  streams.reserve(10);
  int refused = 0;
  for (int i = 0; i < 10; ++i) {
    streams.push_back(std::make_unique<TestCall>(*small.host, kEcho + "Deaf", "", true));
    if (streams.back()->write(std::string(20 << 10, 'x')) == true) continue;
    EXPECT_EQ(streams.back()->wait().code(), IMCTL_RESOURCE_EXHAUSTED);
    ++refused;
  }
  EXPECT_EQ(refused, 7);
  EXPECT_LE(small.host->find_module("echo")->stream_bytes(), 64u << 10);
  streams.clear();
  EXPECT_EQ(small.host->find_module("echo")->stream_bytes(), 0u);
}

TEST_F(Calls, Chat) {
  TestCall made(host(), kEcho + "Chat", "", true);
  for (int i = 0; i < 100; ++i) {
    std::string sent = payload("line " + std::to_string(i)).SerializeAsString();
    ASSERT_EQ(made.write(sent), true);
    EXPECT_EQ(made.read(), sent);
  }
  made.writes_done();
  EXPECT_FALSE(made.read().has_value());
  EXPECT_TRUE(made.wait().ok());
}

TEST_F(Calls, AStreamMessageThatIsNone) {
  TestCall made(host(), kEcho + "Sink", "", true);
  made.write("\xff\xff\xff");
  EXPECT_EQ(made.wait().code(), IMCTL_INVALID_ARGUMENT);
}

TEST_F(Calls, AFullPoolRefuses) {
  std::vector<std::unique_ptr<TestCall>> calls;
  calls.reserve(50);
  int refused = 0;
  for (int i = 0; i < 50; ++i) {
    calls.push_back(
        std::make_unique<TestCall>(host(), kEcho + "Wait", payload("hang").SerializeAsString()));
    if (!calls.back()->finished()) continue;
    Status status = calls.back()->wait();
    EXPECT_EQ(status.code(), IMCTL_RESOURCE_EXHAUSTED);
    EXPECT_NE(status.message().find("pool_threads"), std::string::npos);
    ++refused;
  }
  // Two threads hold one each and the queue four, or two fewer if the threads were slow to take
  // theirs.
  EXPECT_GE(refused, 44);
  EXPECT_LE(refused, 46);
}

TEST_F(Calls, StopEndsStreamsAndWaitsForCalls) {
  TestCall stream(host(), kEcho + "Chat", "", true);
  auto blocked =
      std::make_unique<TestCall>(host(), kEcho + "Later", payload("x").SerializeAsString());
  EXPECT_TRUE(host().stop().ok());
  EXPECT_EQ(stream.wait().code(), IMCTL_UNAVAILABLE);
  EXPECT_TRUE(blocked->wait().ok());
  EXPECT_EQ(call<Payload>(host(), kEcho + "Unary", payload("x")).status().code(),
            IMCTL_UNAVAILABLE);
}

// Its code cannot be unloaded and may not be left running over a host that is gone.
TEST(CallsDeathTest, AModuleThatNeverFinishesEndsTheProcess) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  EXPECT_EXIT(
      {
        InProcess stuck("echo", {"host.stop_timeout=0s"});
        TestCall made(*stuck.host, kEcho + "Keep", "");
        made.cancel();
        stuck.host.reset();
      },
      ::testing::ExitedWithCode(EXIT_FAILURE), "1 calls did not end");
}

// Many threads, every kind of call, cancelled at random.
TEST_F(Calls, Storm) {
  std::vector<std::thread> threads;
  for (unsigned seed = 0; seed < 4; ++seed) {
    threads.emplace_back([this, seed] {
      std::mt19937 random(seed);
      for (int i = 0; i < 300; ++i) {
        switch (random() % 5) {
          case 0: (void)call<Payload>(host(), kEcho + "Blocking", payload("x")); break;
          case 1: {
            TestCall made(host(), kEcho + "Chat", "", true);
            for (unsigned n = random() % 5; n > 0; --n) {
              made.write(payload("x").SerializeAsString());
              made.read();
            }
            break;
          }
          case 2: {
            TestCall made(host(), kEcho + "Source", "");
            for (unsigned n = random() % 5; n > 0; --n) made.read();
            break;
          }
          case 3: {
            TestCall made(host(), kEcho + "Later", "");
            if (random() % 2 == 0) made.cancel();
            break;
          }
          default: (void)call<Seen>(host(), kEcho + "Nest", payload("", random() % 20));
        }
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_TRUE(host().stop().ok());
  EXPECT_EQ(host().in_flight(), 0);
}

}  // namespace
}  // namespace imctl::host
