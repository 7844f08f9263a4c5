// A module replaced while it is called: no unary call fails, streams can go on, and a new copy that
// is no good leaves the old one in its place.
#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <thread>

#include "core/module_admin.h"
#include "counter.pb.h"
#include "managed_host.h"

namespace imctl::host {
namespace {

namespace v1 = imctl::test::counter::v1;
using std::chrono::milliseconds;
using std::chrono::seconds;

const std::string kFirst = read_file(IMCTL_TEST_MODULES "/counter-1/counter.so");
const std::string kSecond = read_file(IMCTL_TEST_MODULES "/counter-2/counter.so");
constexpr const char* kAdd = "/imctl.test.counter.v1.Counter/Add";

std::string config(const std::string& counter = "", const std::string& host = "") {
  return "[host]\nmodules = counter\nmodule_path = " IMCTL_TEST_MODULES
         "/counter-1\nswap_watch = 50ms\n" +
         host + "[counter]\nisolate = no\n" + counter;
}

v1::Number number(uint64_t value) {
  v1::Number made;
  made.set_value(value);
  return made;
}

class Swap : public testing::Test {
 protected:
  void start(const std::string& counter = "", const std::string& host = "") {
    managed_ = std::make_unique<ManagedHost>(config(counter, host));
    ASSERT_TRUE(managed_->status.ok()) << managed_->status.message();
  }
  Host& host() { return *managed_->host; }
  Result<ModuleAdmin::Changes> upgrade(const std::string& content) {
    return host().module_admin().upgrade("counter", content, "", {"test"});
  }
  Result<v1::Number> add(uint64_t value) { return call<v1::Number>(host(), kAdd, number(value)); }
  std::string version() { return managed_->version_of("counter"); }

  std::unique_ptr<ManagedHost> managed_;
};

TEST_F(Swap, TheNewBuildServesWithTheOldOnesState) {
  start();
  ASSERT_EQ(add(5)->value(), 5u);
  Result<ModuleAdmin::Changes> changes = upgrade(kSecond);
  ASSERT_TRUE(changes.ok()) << changes.status().message();
  ASSERT_EQ(changes->size(), 1u);
  EXPECT_EQ((*changes)[0].action, "replaced");
  EXPECT_EQ((*changes)[0].version, "2.0.0");
  Result<v1::Number> after = add(1);
  ASSERT_TRUE(after.ok()) << after.status().message();
  EXPECT_EQ(after->version(), "2");
  EXPECT_EQ(after->value(), 6u);

  // It is kept: a restart has it too, and a rollback goes back to what was before.
  managed_->open();
  ASSERT_TRUE(managed_->status.ok()) << managed_->status.message();
  EXPECT_EQ(version(), "2.0.0");
  ASSERT_TRUE(host().module_admin().rollback("counter", {"test"}).ok());
  EXPECT_EQ(version(), "1.0.0");
}

// What modules resolve as "/package.Service/Method@MODULE" follows the module.
TEST_F(Swap, WhoNamesTheModuleReachesTheNewCopy) {
  start();
  const std::string named = std::string(kAdd) + "@counter";
  ASSERT_EQ(call<v1::Number>(host(), named, number(5))->value(), 5u);
  ASSERT_TRUE(upgrade(kSecond).ok());
  Result<v1::Number> after = call<v1::Number>(host(), named, number(1));
  ASSERT_TRUE(after.ok()) << after.status().message();
  EXPECT_EQ(after->version(), "2");
  EXPECT_EQ(after->value(), 6u);
}

TEST_F(Swap, NoUnaryCallFailsAndNoneIsLostOrDoubled) {
  start();
  std::atomic<bool> stop{false};
  std::atomic<uint64_t> added{0};
  std::atomic<uint64_t> failed{0};
  std::string why;
  std::mutex mutex;
  std::vector<std::thread> callers;
  callers.reserve(8);
  for (int i = 0; i < 8; ++i) {
    callers.emplace_back([&] {
      while (!stop) {
        Result<v1::Number> sum = add(1);
        if (sum.ok()) {
          ++added;
          continue;
        }
        ++failed;
        std::lock_guard lock(mutex);
        why = sum.status().message();
      }
    });
  }
  for (int swap = 0; swap < 10; ++swap) {
    Result<ModuleAdmin::Changes> changes = upgrade(swap % 2 == 0 ? kSecond : kFirst);
    ASSERT_TRUE(changes.ok()) << changes.status().message();
  }
  stop = true;
  for (std::thread& caller : callers) caller.join();
  EXPECT_EQ(failed, 0u) << why;
  EXPECT_GT(added, 1000u);
  EXPECT_EQ(add(0)->value(), added);
}

TEST_F(Swap, CallsInFlightEndInTheOldCopyAndTheirOwnCallsReachIt) {
  start();
  // It calls Add on its caller's behalf while new calls are held already.
  TestCall slow(host(), "/imctl.test.counter.v1.Counter/AddSlowly", number(20).SerializeAsString());
  std::thread swapping([&] { EXPECT_TRUE(upgrade(kSecond).ok()); });
  Status status = slow.wait();
  EXPECT_TRUE(status.ok()) << status.message();
  v1::Number answer;
  ASSERT_TRUE(answer.ParseFromString(slow.reply()));
  EXPECT_EQ(answer.version(), "1");
  EXPECT_EQ(answer.value(), 20u);
  swapping.join();
  EXPECT_EQ(add(0)->value(), 20u);
  EXPECT_EQ(add(0)->version(), "2");
}

TEST_F(Swap, HeldCallsCanBeCancelledAndHaveTheirDeadline) {
  start("activate_takes = 700ms\n");
  std::thread swapping([&] { EXPECT_TRUE(upgrade(kSecond).ok()); });
  // Held: nothing else keeps a call from its answer that long.
  for (;;) {
    CallParams params;
    params.deadline = monotonic_now() + 50'000'000;
    Result<v1::Number> sum = call<v1::Number>(host(), kAdd, number(0), std::move(params));
    if (!sum.ok()) {
      EXPECT_EQ(sum.status().code(), IMCTL_DEADLINE_EXCEEDED) << sum.status().message();
      break;
    }
  }
  TestCall cancelled(host(), kAdd, number(100).SerializeAsString());
  cancelled.cancel();
  EXPECT_EQ(cancelled.wait().code(), IMCTL_CANCELLED);
  TestCall held(host(), kAdd, number(1).SerializeAsString());
  EXPECT_TRUE(held.wait().ok());
  swapping.join();
  EXPECT_EQ(add(0)->value(), 1u);  // the cancelled one never ran
}

TEST_F(Swap, WhatWaitsIsBoundedInBytes) {
  start("activate_takes = 500ms\n", "swap_hold_bytes = 64KiB\n");
  std::atomic<bool> swapped{false};
  std::thread swapping([&] {
    EXPECT_TRUE(upgrade(kSecond).ok());
    swapped = true;
  });
  std::atomic<int> full{0};
  std::atomic<int> other{0};
  std::vector<std::thread> callers;
  callers.reserve(8);
  for (int i = 0; i < 8; ++i) {
    callers.emplace_back([&] {
      v1::Number large = number(1);
      large.set_version(std::string(20'000, 'x'));
      while (!swapped) {
        Result<v1::Number> sum = call<v1::Number>(host(), kAdd, large);
        if (sum.ok()) continue;
        if (sum.status().code() != IMCTL_RESOURCE_EXHAUSTED) ++other;
        EXPECT_FALSE(sum.status().details().empty());  // when to try again
        ++full;
        std::this_thread::sleep_for(milliseconds(10));
      }
    });
  }
  for (std::thread& caller : callers) caller.join();
  swapping.join();
  EXPECT_GT(full, 0);
  EXPECT_EQ(other, 0);
}

TEST_F(Swap, StreamsSayWhereToGoOn) {
  start();
  auto stream = std::make_unique<TestCall>(host(), "/imctl.test.counter.v1.Counter/Count",
                                           number(0).SerializeAsString());
  v1::Number last;
  auto next = [&] {
    std::optional<std::string> message = stream->read();
    if (!message) return false;
    v1::Number fresh;
    EXPECT_TRUE(fresh.ParseFromString(*message));
    EXPECT_EQ(fresh.value(), fresh.value() == 0 ? 0 : last.value() + 1);
    last = fresh;
    return true;
  };
  for (int i = 0; i < 100; ++i) ASSERT_TRUE(next());
  std::thread swapping([&] { EXPECT_TRUE(upgrade(kSecond).ok()); });
  while (next()) {
  }
  Status status = stream->wait();
  EXPECT_EQ(status.code(), IMCTL_UNAVAILABLE) << status.message();
  std::string token;
  for (const auto& [key, value] : stream->trailers()) {
    if (key == IMCTL_RESUME_KEY) token = value;
  }
  EXPECT_EQ(token, std::to_string(last.value() + 1));
  CallParams params;
  params.metadata.emplace_back(IMCTL_RESUME_KEY, token);
  stream = std::make_unique<TestCall>(host(), "/imctl.test.counter.v1.Counter/Count",
                                      number(0).SerializeAsString(), false, std::move(params));
  ASSERT_TRUE(next());  // the one after the last
  EXPECT_EQ(last.version(), "2");
  swapping.join();
}

TEST_F(Swap, StreamsThatKnowNothingOfItEndWithARetryHint) {
  start();
  TestCall stream(host(), "/imctl.test.counter.v1.Counter/Endless", number(0).SerializeAsString());
  ASSERT_TRUE(stream.read());
  auto began = std::chrono::steady_clock::now();
  ASSERT_TRUE(upgrade(kSecond).ok());
  EXPECT_LT(std::chrono::steady_clock::now() - began, seconds(5));  // not the deadline
  while (stream.read()) {
  }
  Status status = stream.wait();
  EXPECT_EQ(status.code(), IMCTL_UNAVAILABLE);
  EXPECT_NE(status.details().find("google.rpc.RetryInfo"), std::string::npos);
}

TEST_F(Swap, ACallThatOutlivesTheDeadlineEndsWithARetryHint) {
  start("", "swap_timeout = 100ms\n");
  TestCall slow(host(), "/imctl.test.counter.v1.Counter/Slow", number(600).SerializeAsString());
  ASSERT_TRUE(upgrade(kSecond).ok());
  Status status = slow.wait();
  EXPECT_EQ(status.code(), IMCTL_UNAVAILABLE) << status.message();
  EXPECT_NE(status.details().find("google.rpc.RetryInfo"), std::string::npos);
  EXPECT_EQ(version(), "2.0.0");
}

class SwapThatFails : public Swap, public testing::WithParamInterface<const char*> {};

TEST_P(SwapThatFails, LeavesTheOldOneServing) {
  start();
  ASSERT_EQ(add(7)->value(), 7u);
  std::string before = managed_->text();
  // The setting is only for the copy to come.
  managed_->write(before + "fail = " + GetParam() + "\n");
  Result<ModuleAdmin::Changes> changes = upgrade(kSecond);
  ASSERT_FALSE(changes.ok());
  EXPECT_NE(changes.status().message().find("told to"), std::string::npos)
      << changes.status().message();
  Result<v1::Number> sum = add(1);
  ASSERT_TRUE(sum.ok()) << sum.status().message();
  EXPECT_EQ(sum->version(), "1");
  EXPECT_EQ(sum->value(), 8u);
  EXPECT_EQ(managed_->text().find("file ="), std::string::npos);
  // And it can be replaced after all.
  managed_->write(before);
  EXPECT_TRUE(upgrade(kSecond).ok());
  EXPECT_EQ(add(0)->value(), 8u);
}

INSTANTIATE_TEST_SUITE_P(Steps, SwapThatFails,
                         testing::Values("prepare", "restore", "activate", "ill"));

TEST_F(Swap, WhatIsNoModuleIsRefusedBeforeAnythingHappens) {
  start();
  EXPECT_EQ(upgrade("no shared object").status().code(), IMCTL_INVALID_ARGUMENT);
  EXPECT_FALSE(upgrade(read_file(IMCTL_TEST_MODULES "/echo.so")).ok());  // another module
  EXPECT_EQ(host().module_admin().upgrade("../x", kFirst, "", {"test"}).status().code(),
            IMCTL_INVALID_ARGUMENT);
  EXPECT_EQ(host().module_admin().upgrade("host", kFirst, "", {"test"}).status().code(),
            IMCTL_INVALID_ARGUMENT);
  EXPECT_EQ(add(1)->version(), "1");
}

TEST_F(Swap, DryRunChangesNothing) {
  start();
  std::string before = managed_->text();
  auto changes = host().module_admin().upgrade("counter", kSecond, "", {"test", true});
  ASSERT_TRUE(changes.ok()) << changes.status().message();
  EXPECT_EQ((*changes)[0].version, "2.0.0");
  EXPECT_EQ(version(), "1.0.0");
  EXPECT_EQ(managed_->text(), before);
}

TEST_F(Swap, ReloadTakesTheSettingsAsTheyAre) {
  start("# mine\n");
  managed_->write(managed_->text() + "pool_threads = 7\n");
  auto changes = host().module_admin().reload("counter", {"test"});
  ASSERT_TRUE(changes.ok()) << changes.status().message();
  EXPECT_EQ(host().find_module("counter")->limits().pool.threads, 7u);
  managed_->write(managed_->text() + "pool_threads = many\n");
  EXPECT_EQ(host().module_admin().reload("counter", {"test"}).status().code(),
            IMCTL_INVALID_ARGUMENT);
  EXPECT_TRUE(add(1).ok());
}

}  // namespace
}  // namespace imctl::host
