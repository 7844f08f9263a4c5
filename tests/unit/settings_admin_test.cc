// Settings that change while calls go on.
#include <gtest/gtest.h>

#include <atomic>
#include <string>
#include <thread>

#include "core/settings_admin.h"
#include "core/settings_explain.h"
#include "managed_host.h"
#include "tuner.pb.h"

namespace imctl::host {
namespace {

using imctl::test::tuner::v1::SayReply;
using imctl::test::tuner::v1::SayRequest;
using imctl::test::tuner::v1::ShowReply;
using imctl::test::tuner::v1::ShowRequest;

std::string config(const std::string& more = {}) {
  return "[host]\nswap_watch = 0s\nmodules = tuner-a,tuner-b\nmodule_path = " IMCTL_TEST_MODULES
         "\n[tuner-a]\nisolate = no\n[tuner-b]\nisolate = no\n" +
         more;
}

ShowReply show(Host& host, const std::string& which = "A") {
  Result<ShowReply> reply =
      call<ShowReply>(host, "/imctl.test.tuner.v1.Tuner" + which + "/Show", ShowRequest());
  EXPECT_TRUE(reply.ok()) << reply.status().message();
  return reply.ok() ? *reply : ShowReply();
}

TEST(SettingsAdmin, ChangesWhileCallsAndSwapsGoOn) {
  ManagedHost managed(config());
  ASSERT_TRUE(managed.status.ok()) << managed.status.message();
  Host& host = *managed.host;
  std::atomic<bool> stop{false};
  std::atomic<int> failed{0};
  std::vector<std::thread> threads;
  for (int i = 0; i < 2; ++i) {
    threads.emplace_back([&] {
      SayRequest say;
      say.set_text("hello");
      say.set_pass_on(true);
      while (!stop) {
        if (!call<SayReply>(host, "/imctl.test.tuner.v1.TunerA/Say", say).ok()) ++failed;
        (void)show(host, "B");
        (void)host.settings_admin().list("tuner");
      }
    });
  }
  threads.emplace_back([&] {
    while (!stop) EXPECT_TRUE(host.module_admin().reload("tuner-b", {"test"}).ok());
  });
  for (int i = 1; i <= 20; ++i) {
    auto changes = host.settings_admin().set("tuner-a.speed", {std::to_string(i + 20)}, {"test"});
    ASSERT_TRUE(changes.ok()) << changes.status().message();
    ASSERT_EQ(changes->size(), 1U);
    EXPECT_EQ(changes->front().state, "applied");
    EXPECT_EQ(show(host).speed(), static_cast<uint32_t>(i + 20));
    EXPECT_TRUE(host.settings_admin()
                    .set("host.log_level", {i % 2 == 0 ? "debug" : "warn"}, {"test"})
                    .ok());
    EXPECT_TRUE(host.settings_admin().set("host.max_depth", {std::to_string(i + 2)}, {"t"}).ok());
    host.set_log_level("tuner-a", IMCTL_LOG_ERROR, std::chrono::milliseconds(1));
  }
  stop = true;
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(failed, 0);
  managed.open();
  ASSERT_TRUE(managed.status.ok()) << managed.status.message();
  EXPECT_EQ(show(*managed.host).speed(), 40U);
}

TEST(SettingsAdmin, WhatOneRefusesTheOtherGivesBack) {
  ManagedHost managed(config());
  ASSERT_TRUE(managed.status.ok()) << managed.status.message();
  managed.write(
      config("[tuner-b]\nword = stubborn\n[tuner-a]\nspeed = 77\nnames = x\n"
             "[host]\nmax_depth = 5\n"));
  Status status = managed.host->settings_admin().reload({"test"}).status();
  EXPECT_EQ(status.code(), IMCTL_ABORTED) << status.message();
  EXPECT_NE(status.message().find("tuner-b.word"), std::string::npos) << status.message();
  EXPECT_EQ(show(*managed.host).speed(), 10U);
  EXPECT_EQ(managed.host->live().max_depth, 16U);
  EXPECT_EQ(managed.host->settings_admin().find("tuner-a.speed")->text, "10");
  managed.write(config("[tuner-a]\nspeed = 77\n[host]\nmax_depth = 5\n"));
  auto changes = managed.host->settings_admin().reload({"test"});
  ASSERT_TRUE(changes.ok()) << changes.status().message();
  EXPECT_EQ(changes->size(), 2U);
  EXPECT_EQ(show(*managed.host).speed(), 77U);
  EXPECT_EQ(managed.host->live().max_depth, 5U);
  // Once more there is nothing to do.
  changes = managed.host->settings_admin().reload({"test"});
  ASSERT_TRUE(changes.ok());
  EXPECT_TRUE(changes->empty());
}

TEST(SettingsAdmin, AModuleThatDoesNotListenHasToBeReplaced) {
  ManagedHost managed(
      "[host]\nswap_watch = 0s\nmodules = tuner-b\nmodule_path = " IMCTL_TEST_MODULES
      "/deaf\n[tuner-b]\nisolate = no\n");
  ASSERT_TRUE(managed.status.ok()) << managed.status.message();
  auto changes = managed.host->settings_admin().set("tuner-b.speed", {"50"}, {"test"});
  ASSERT_TRUE(changes.ok()) << changes.status().message();
  ASSERT_EQ(changes->size(), 1U);
  EXPECT_EQ(changes->front().state, "waiting");
  EXPECT_EQ(changes->front().how, "imctl module reload tuner-b");
  EXPECT_EQ(show(*managed.host, "B").speed(), 10U);
  ASSERT_TRUE(managed.host->module_admin().reload("tuner-b", {"test"}).ok());
  EXPECT_EQ(show(*managed.host, "B").speed(), 50U);
}

TEST(SettingsAdmin, TheSameValueWrittenDifferentlyIsNoChange) {
  ManagedHost managed(config("[host]\nstop_timeout = 60s\n"));
  ASSERT_TRUE(managed.status.ok()) << managed.status.message();
  auto changes = managed.host->settings_admin().set("host.stop_timeout", {"1m"}, {"test"});
  ASSERT_TRUE(changes.ok()) << changes.status().message();
  ASSERT_EQ(changes->size(), 1U);
  EXPECT_EQ(changes->front().state, "unchanged");
  EXPECT_NE(managed.text().find("stop_timeout = 1m"), std::string::npos);
}

TEST(SettingsAdmin, BindingsWait) {
  ManagedHost managed(config());
  ASSERT_TRUE(managed.status.ok()) << managed.status.message();
  SettingsAdmin& admin = managed.host->settings_admin();
  auto changes = admin.set("bind.imctl.test.tuner.v1.TunerA", {"tuner-a"}, {"test"});
  ASSERT_TRUE(changes.ok()) << changes.status().message();
  ASSERT_EQ(changes->size(), 1U);
  EXPECT_EQ(changes->front().state, "waiting");
  EXPECT_EQ(changes->front().how, "restart");
  EXPECT_EQ(admin.set("bind.imctl.test.tuner.v1.TunerA", {"tuner-b"}, {"test"}).status().code(),
            IMCTL_INVALID_ARGUMENT);
  EXPECT_EQ(admin.set("bind.nod", {"x"}, {"test"}).status().code(), IMCTL_NOT_FOUND);
  EXPECT_EQ(admin.set("nonsense", {"x"}, {"test"}).status().code(), IMCTL_INVALID_ARGUMENT);
  managed.open();
  ASSERT_TRUE(managed.status.ok()) << managed.status.message();
  changes = managed.host->settings_admin().unset("bind.imctl.test.tuner.v1.TunerA", {"test"});
  ASSERT_TRUE(changes.ok()) << changes.status().message();
  ASSERT_EQ(changes->size(), 1U);
  EXPECT_EQ(changes->front().after, "");
  EXPECT_EQ(changes->front().how, "restart");
}

TEST(SettingsAdmin, WhatNobodySaidIsNotShownAsNo) {
  ManagedHost managed(config());
  ASSERT_TRUE(managed.status.ok()) << managed.status.message();
  EXPECT_EQ(managed.host->settings_admin().find("tuner-a.enabled")->text, "");
}

TEST(SettingsAdmin, EverySettingIsExplained) {
  ManagedHost managed(config());
  ASSERT_TRUE(managed.status.ok()) << managed.status.message();
  auto all = explain_settings(*managed.host, "");
  ASSERT_TRUE(all.ok());
  for (const SettingExplanation& one : *all) {
    EXPECT_TRUE(managed.host->settings_admin().find(one.key).has_value()) << one.key;
    EXPECT_FALSE(one.type.empty()) << one.key;
  }
  EXPECT_EQ(explain_settings(*managed.host, "host.listn").status().code(), IMCTL_NOT_FOUND);
}

}  // namespace
}  // namespace imctl::host
