// Modules switched on and off, who requires whom, who serves what.
#include <gtest/gtest.h>

#include <filesystem>

#include "core/module_admin.h"
#include "echo.pb.h"
#include "managed_host.h"

namespace imctl::host {
namespace {

std::string config(const std::string& more) {
  return "[host]\nmodules = echo\nmodule_path = " IMCTL_TEST_MODULES
         "\n[echo]\nisolate = no\n[twin-a]\nisolate = no\n[twin-b]\nisolate = no\n" +
         more;
}

Status unary(Host& host) {
  imctl::test::echo::v1::Payload payload;
  return call<imctl::test::echo::v1::Payload>(host, "/imctl.test.echo.v1.Echo/Unary", payload)
      .status();
}

TEST(Plan, EnabledIsKeptAndDisabledToo) {
  ManagedHost managed(config("# a comment of mine\n"));
  ASSERT_TRUE(managed.status.ok()) << managed.status.message();
  ModuleAdmin& admin = managed.host->module_admin();
  std::string digest = managed.host->modules().view()->digest;
  ASSERT_TRUE(admin.enable({"twin-a"}, {"test"}).ok());
  EXPECT_NE(managed.host->find_module("twin-a"), nullptr);
  EXPECT_NE(managed.host->modules().view()->digest, digest);
  EXPECT_NE(managed.text().find("# a comment of mine"), std::string::npos);
  managed.open();
  ASSERT_TRUE(managed.status.ok()) << managed.status.message();
  EXPECT_NE(managed.host->find_module("twin-a"), nullptr);

  ASSERT_TRUE(managed.host->module_admin().disable("echo", false, {"test"}).ok());
  EXPECT_EQ(unary(*managed.host).code(), IMCTL_UNIMPLEMENTED);
  EXPECT_EQ(managed.host->health().get("imctl.test.echo.v1.Echo"), false);
  managed.open();
  ASSERT_TRUE(managed.status.ok()) << managed.status.message();
  EXPECT_EQ(managed.host->find_module("echo"), nullptr);
  ASSERT_TRUE(managed.host->module_admin().enable({"echo"}, {"test"}).ok());
  EXPECT_TRUE(unary(*managed.host).ok());
}

TEST(Plan, WhatIsOffIsShownWithItsReason) {
  ManagedHost managed(config(""));
  ASSERT_TRUE(managed.status.ok()) << managed.status.message();
  std::map<std::string, std::string> off;
  for (auto view = managed.host->modules().view(); const OffModule& module : view->off)
    off[module.name] = module.why;
  EXPECT_NE(off["twin-a"].find("host.modules"), std::string::npos) << off["twin-a"];
  ASSERT_TRUE(managed.host->module_admin().disable("echo", false, {"test"}).ok());
  off.clear();
  for (auto view = managed.host->modules().view(); const OffModule& module : view->off)
    off[module.name] = module.why;
  EXPECT_NE(off["echo"].find("echo.enabled"), std::string::npos) << off["echo"];
}

TEST(Plan, WhatWantsToBeAskedForIsLeftOutUntilItIs) {
  TemporaryFolder folder;
  for (const char* name : {"echo.so", "keeper.so"}) {
    std::filesystem::copy_file(std::string(IMCTL_TEST_MODULES "/") + name,
                               folder.path() + "/" + name);
  }
  ManagedHost managed("[host]\nmodule_path = " + folder.path() + "\n[echo]\nisolate = no\n");
  ASSERT_TRUE(managed.status.ok()) << managed.status.message();
  EXPECT_NE(managed.host->find_module("echo"), nullptr);
  EXPECT_EQ(managed.host->find_module("keeper"), nullptr);
  const std::vector<OffModule>& off = managed.host->modules().view()->off;
  ASSERT_EQ(off.size(), 1U);
  EXPECT_NE(off[0].why.find("asks for it"), std::string::npos) << off[0].why;
  // Asked for, it is refused for what it needs and nobody has.
  Status status = managed.host->module_admin().enable({"keeper"}, {"test"}).status();
  EXPECT_NE(status.message().find("imctl.storage.v1.Records"), std::string::npos)
      << status.message();
}

TEST(Plan, UnknownModulesAreRefusedWithWhatThereIs) {
  ManagedHost managed(config(""));
  ASSERT_TRUE(managed.status.ok()) << managed.status.message();
  ModuleAdmin& admin = managed.host->module_admin();
  Status status = admin.enable({"nothing"}, {"test"}).status();
  EXPECT_EQ(status.code(), IMCTL_NOT_FOUND);
  EXPECT_NE(status.message().find("twin-b"), std::string::npos) << status.message();
  EXPECT_EQ(admin.disable("host", false, {"test"}).status().code(), IMCTL_INVALID_ARGUMENT);
  EXPECT_EQ(admin.reload("twin-a", {"test"}).status().code(), IMCTL_FAILED_PRECONDITION);
  EXPECT_EQ(admin.rollback("echo", {"test"}).status().code(), IMCTL_FAILED_PRECONDITION);
}

TEST(Plan, WhatIsRequiredComesAlongAndCannotGoAlone) {
  ManagedHost managed(config("[leaning]\nisolate = no\n"));
  ASSERT_TRUE(managed.status.ok()) << managed.status.message();
  ModuleAdmin& admin = managed.host->module_admin();
  ASSERT_TRUE(admin.disable("echo", false, {"test"}).ok());
  auto changes = admin.enable({"leaning"}, {"test"});  // requires echo's service
  ASSERT_TRUE(changes.ok()) << changes.status().message();
  EXPECT_EQ(changes->size(), 2u);
  EXPECT_TRUE(unary(*managed.host).ok());

  Status refused = admin.disable("echo", false, {"test"}).status();
  EXPECT_EQ(refused.code(), IMCTL_FAILED_PRECONDITION);
  EXPECT_NE(refused.message().find("leaning"), std::string::npos) << refused.message();
  EXPECT_NE(refused.message().find("--cascade"), std::string::npos) << refused.message();
  EXPECT_TRUE(unary(*managed.host).ok());
  ASSERT_TRUE(admin.disable("echo", true, {"test"}).ok());
  EXPECT_EQ(managed.host->find_module("leaning"), nullptr);
  EXPECT_EQ(managed.host->find_module("echo"), nullptr);
}

TEST(Plan, OneOfSeveralProvidersIsBound) {
  // Two modules that serve the same service.
  std::string two =
      config("").replace(0, config("").find("\n[echo]"),
                         "[host]\nmodules = echo,echo-too\nmodule_path = " IMCTL_TEST_MODULES
                         "," IMCTL_TEST_MODULES "/too");
  ManagedHost unbound(two + "[echo-too]\nisolate = no\n");
  EXPECT_EQ(unbound.status.code(), IMCTL_FAILED_PRECONDITION);
  EXPECT_NE(unbound.status.message().find("[bind]"), std::string::npos) << unbound.status.message();

  ManagedHost bound(two + "[echo-too]\nisolate = no\n[bind]\nimctl.test.echo.v1.Echo = echo-too\n");
  ASSERT_TRUE(bound.status.ok()) << bound.status.message();
  EXPECT_TRUE(unary(*bound.host).ok());
  auto slot = bound.host->methods().find("/imctl.test.echo.v1.Echo/Unary");
  EXPECT_EQ(slot->route()->instance->name(), "echo-too");
  // Who names a module calls that one, and none that does not run or does not serve it.
  for (const std::string module : {"echo", "echo-too"}) {
    TestCall named(*bound.host, "/imctl.test.echo.v1.Echo/Unary@" + module, "");
    EXPECT_TRUE(named.wait().ok()) << named.wait().message();
    auto at = bound.host->methods().find("/imctl.test.echo.v1.Echo/Unary@" + module);
    EXPECT_EQ(at->route()->instance->name(), module);
  }
  for (const std::string module : {"twin-a", "host", "nobody", ""}) {
    TestCall none(*bound.host, "/imctl.test.echo.v1.Echo/Unary@" + module, "");
    EXPECT_EQ(none.wait().code(), IMCTL_UNIMPLEMENTED) << module;
  }
  // Such a name is nobody's but a module's.
  EXPECT_EQ(bound.host->methods().find_public("/imctl.test.echo.v1.Echo/Unary@echo"), nullptr);

  ManagedHost wrong(config("[bind]\nimctl.test.echo.v1.Echo = twin-a\n"));
  EXPECT_EQ(wrong.status.code(), IMCTL_INVALID_ARGUMENT);
  EXPECT_NE(wrong.status.message().find("bind.imctl.test.echo.v1.Echo"), std::string::npos);
  EXPECT_NE(wrong.status.message().find("these do: echo"), std::string::npos)
      << wrong.status.message();
}

}  // namespace
}  // namespace imctl::host
