// Loading: what is refused and in which words, two modules with the same .proto, unloading for
// real.
#include <gtest/gtest.h>

#include <fstream>
#include <sstream>

#include "core/description.h"
#include "core/module_loader.h"
#include "core/module_order.h"
#include "echo.pb.h"
#include "in_process.h"

namespace imctl::host {
namespace {

std::string maps() {
  std::ifstream file("/proc/self/maps");
  std::stringstream text;
  text << file.rdbuf();
  return text.str();
}

TEST(Modules, TwoWithTheSameProtoPathLoadAndAnswer) {
  InProcess in_process("twin-a,twin-b,echo");
  ASSERT_TRUE(in_process.status.ok()) << in_process.status.message();
  imctl::test::echo::v1::Payload name;  // field 1 is the text of both
  name.set_text("?");
  for (const char* twin : {"a", "b"}) {
    std::string service =
        std::string("/imctl.test.twin.v1.Twin") + (*twin == 'b' ? "B" : "") + "/Get";
    Result<imctl::test::echo::v1::Payload> reply =
        call<imctl::test::echo::v1::Payload>(*in_process.host, service, name);
    ASSERT_TRUE(reply.ok()) << reply.status().message();
    EXPECT_EQ(reply->text(), std::string("twin-") + twin);
  }
  EXPECT_NE(in_process.host->find_module("twin-a")->description().descriptors->message(
                "imctl.test.twin.v1.Who"),
            in_process.host->find_module("twin-b")->description().descriptors->message(
                "imctl.test.twin.v1.Who"));
}

TEST(Modules, UnloadedIsUnmapped) {
  for (int round = 0; round < 3; ++round) {
    InProcess in_process("twin-a,twin-b,echo");
    ASSERT_TRUE(in_process.status.ok()) << in_process.status.message();
    imctl::test::echo::v1::Payload payload;
    ASSERT_TRUE(call<imctl::test::echo::v1::Payload>(*in_process.host,
                                                     "/imctl.test.echo.v1.Echo/Later", payload)
                    .ok());
    for (const char* name : {"/echo.so", "/twin-a.so", "/twin-b.so"}) {
      EXPECT_NE(maps().find(name), std::string::npos);
    }
    ASSERT_TRUE(in_process.host->stop().ok());
    for (const char* name : {"/echo.so", "/twin-a.so", "/twin-b.so"}) {
      EXPECT_EQ(maps().find(name), std::string::npos) << name << " is still mapped";
    }
  }
}

TEST(Modules, InspectedWithoutRunningCode) {
  Result<ModuleFile> file = read_module_file(IMCTL_TEST_MODULES "/echo.so");
  ASSERT_TRUE(file.ok()) << file.status().message();
  EXPECT_EQ(file->manifest.name(), "echo");
  EXPECT_EQ(file->manifest.abi_pin(), abi_pin());
  EXPECT_EQ(file->manifest.serves(0), "imctl.test.echo.v1.Echo");
  EXPECT_EQ(maps().find("/echo.so"), std::string::npos);
  EXPECT_TRUE(check_manifest(*file).ok());
  EXPECT_TRUE(check_libraries(*file).ok());
}

TEST(Modules, RefusedInWords) {
  Result<ModuleFile> file = read_module_file(IMCTL_TEST_MODULES "/echo.so");
  ASSERT_TRUE(file.ok());
  auto why = [&](auto&& change) {
    ModuleFile changed = *file;
    change(changed);
    Status status = check_manifest(changed);
    return (status.ok() ? check_libraries(changed) : status).message();
  };
  EXPECT_NE(why([](ModuleFile& f) { f.manifest.set_abi_pin("0123"); }).find("another module.h"),
            std::string::npos);
  EXPECT_NE(why([](ModuleFile& f) {
              f.manifest.set_abi_min(7);
              f.manifest.set_abi_max(9);
            }).find("ABI 7 to 9"),
            std::string::npos);
  EXPECT_NE(why([](ModuleFile& f) { f.manifest.set_name("No Name"); }).find("name"),
            std::string::npos);
  EXPECT_NE(why([](ModuleFile& f) { f.needed = {"libprotobuf.so.99"}; }).find("libprotobuf.so.99"),
            std::string::npos);
  EXPECT_EQ(read_module_file("/proc/self/exe").status().code(),
            IMCTL_OK);  // the tests hold the host's own
  EXPECT_EQ(read_module_file("/etc/passwd").status().code(), IMCTL_INVALID_ARGUMENT);
  EXPECT_EQ(read_module_file("/no/such/file.so").status().code(), IMCTL_NOT_FOUND);
}

TEST(Modules, AMissingOneIsNamedWithWhatThereIs) {
  InProcess in_process("echo,nothing");
  EXPECT_EQ(in_process.status.code(), IMCTL_NOT_FOUND);
  EXPECT_NE(in_process.status.message().find("nothing.so"), std::string::npos)
      << in_process.status.message();
  EXPECT_NE(in_process.status.message().find("twin-a"), std::string::npos)
      << in_process.status.message();
}

TEST(Modules, OrderFollowsNeeds) {
  auto module = [](const std::string& name, const std::string& needs) {
    auto made = std::make_shared<Description>();
    made->file.manifest.set_name(name);
    if (!needs.empty()) made->file.manifest.add_needs()->set_service(needs);
    return std::shared_ptr<const Description>(made);
  };
  std::map<std::string, std::string> providers = {{"A", "a"}, {"B", "b"}, {"C", "c"}};
  auto ordered = order_modules({module("a", "B"), module("b", "C"), module("c", "")}, providers);
  ASSERT_TRUE(ordered.ok());
  EXPECT_EQ((*ordered)[0]->name(), "c");
  EXPECT_EQ((*ordered)[2]->name(), "a");

  Status circle = order_modules({module("a", "B"), module("b", "A")}, providers).status();
  EXPECT_NE(circle.message().find("a -> b -> a"), std::string::npos) << circle.message();
  Status missing = order_modules({module("a", "D")}, providers).status();
  EXPECT_NE(missing.message().find("requires D"), std::string::npos) << missing.message();
}

TEST(Modules, OneHostADataFolder) {
  TemporaryFolder folder;
  DataLock first;
  DataLock second;
  ASSERT_TRUE(first.take(folder.path()).ok());
  Status refused = second.take(folder.path());
  EXPECT_EQ(refused.code(), IMCTL_FAILED_PRECONDITION);
  EXPECT_NE(refused.message().find(std::to_string(getpid())), std::string::npos)
      << refused.message();
  first.release();
  EXPECT_TRUE(second.take(folder.path()).ok());
}

}  // namespace
}  // namespace imctl::host
