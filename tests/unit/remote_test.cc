// Other hosts: how they prove themselves, what is known of them, calls that go there.
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <fstream>

#include "core/sha256.h"
#include "echo.pb.h"
#include "grpc/front_end.h"
#include "grpc/node_credential.h"
#include "grpc/remote_catalog.h"
#include "grpc/remote_hosts.h"
#include "in_process.h"

namespace imctl::host {
namespace {

using imctl::test::echo::v1::Payload;

constexpr const char* kEcho = "imctl.test.echo.v1.Echo";
constexpr const char* kTwin = "imctl.test.twin.v1.Twin";
constexpr const char* kTwinB = "imctl.test.twin.v1.TwinB";
constexpr const char* kAddress = "grpc://there:50051";

TEST(NodeCredential, NameAndKeyBelongTogether) {
  std::map<std::string, std::string> nodes = {{"a", sha256_hex("key-a")}, {"b", sha256_hex("")}};
  EXPECT_TRUE(is_node(nodes, "a", "key-a"));
  EXPECT_FALSE(is_node(nodes, "a", "key-b"));
  EXPECT_FALSE(is_node(nodes, "a", ""));
  EXPECT_FALSE(is_node(nodes, "c", "key-a"));
  EXPECT_FALSE(is_node(nodes, "", ""));
  EXPECT_FALSE(is_node({}, "a", "key-a"));
  EXPECT_FALSE(is_node({{"a", "short"}}, "a", "key-a"));
}

TEST(NodeCredential, DigestIsTheStandardOne) {
  EXPECT_EQ(sha256_hex("abc"), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
}

TEST(NodeCredential, MetadataCarriesPrintableAsciiOnly) {
  RemoteSettings settings;
  EXPECT_TRUE(check_node_credential(settings).ok());
  settings.node = "b";
  settings.node_key = "secret key";
  Status status = check_node_credential(settings);
  EXPECT_EQ(status.code(), IMCTL_INVALID_ARGUMENT);
  EXPECT_NE(status.message().find("bind.node_key"), std::string::npos);
  EXPECT_EQ(status.message().find("secret"), std::string::npos);
  settings.node_key = "secret";
  settings.node = "n\xc3\xb6";
  EXPECT_FALSE(check_node_credential(settings).ok());
}

v1::GetCatalogResponse catalog_of(const Host& host) {
  std::shared_ptr<const Modules::View> view = host.modules().view();
  v1::GetCatalogResponse catalog;
  catalog.set_digest(view->digest);
  for (const std::string& manifest : view->manifests) catalog.add_manifests(manifest);
  return catalog;
}

TEST(RemoteCatalog, DescribesWhatIsBoundAndNoMore) {
  InProcess in_process("echo,twin-a");
  ASSERT_TRUE(in_process.status.ok()) << in_process.status.message();
  v1::GetCatalogResponse catalog = catalog_of(*in_process.host);
  auto described = describe_remote(kAddress, {kTwin, kEcho}, {}, &catalog);
  ASSERT_TRUE(described.ok()) << described.status().message();
  const RemoteDescription& remote = **described;
  EXPECT_EQ(remote.name(), kAddress);
  EXPECT_EQ(remote.remote, kAddress);
  EXPECT_FALSE(remote.is_builtin());
  EXPECT_FALSE(remote.manifest().version().empty());
  EXPECT_NE(remote.descriptors->service(kEcho), nullptr);
  EXPECT_NE(remote.descriptors->service(kTwin), nullptr);
  EXPECT_EQ(remote.descriptors->service("imctl.host.v1.Modules"), nullptr);
  Result<InstanceSpec> spec = spec_of(*described);
  ASSERT_TRUE(spec.ok()) << spec.status().message();
  EXPECT_GT(spec->methods.size(), 2u);

  auto again = describe_remote(kAddress, {kTwin, kEcho}, {}, &catalog);
  EXPECT_TRUE(remote.same_as(**again));
  RemoteSettings other;
  other.node = "b";
  EXPECT_FALSE(remote.same_as(**describe_remote(kAddress, {kTwin, kEcho}, other, &catalog)));
  EXPECT_FALSE(remote.same_as(**describe_remote(kAddress, {kTwin, kEcho}, {}, nullptr)));
}

TEST(RemoteCatalog, SaysWhatIsNotServedAndWhatIs) {
  InProcess in_process("echo");
  v1::GetCatalogResponse catalog = catalog_of(*in_process.host);
  Status status = describe_remote(kAddress, {kEcho, kTwin}, {}, &catalog).status();
  EXPECT_EQ(status.code(), IMCTL_FAILED_PRECONDITION);
  for (const char* part : {kAddress, kTwin, kEcho}) {
    EXPECT_NE(status.message().find(part), std::string::npos) << status.message();
  }
  EXPECT_EQ(status.message().find("imctl.host.v1"), std::string::npos) << status.message();
}

TEST(RemoteCatalog, UnknownHostHasNoMethods) {
  auto described = describe_remote(kAddress, {kEcho}, {}, nullptr);
  ASSERT_TRUE(described.ok()) << described.status().message();
  Result<InstanceSpec> spec = spec_of(*described);
  ASSERT_TRUE(spec.ok()) << spec.status().message();
  EXPECT_TRUE(spec->methods.empty());
}

TEST(RemoteCatalog, FilesOfTheSamePathThatClashAreToldOf) {
  InProcess in_process("twin-a,twin-b");
  ASSERT_TRUE(in_process.status.ok()) << in_process.status.message();
  v1::GetCatalogResponse catalog = catalog_of(*in_process.host);
  EXPECT_TRUE(describe_remote(kAddress, {kTwin}, {}, &catalog).ok());
  EXPECT_TRUE(describe_remote(kAddress, {kTwinB}, {}, &catalog).ok());
  Status status = describe_remote(kAddress, {kTwin, kTwinB}, {}, &catalog).status();
  EXPECT_EQ(status.code(), IMCTL_FAILED_PRECONDITION);
  EXPECT_NE(status.message().find(kAddress), std::string::npos) << status.message();
}

TEST(RemoteCatalog, FilesOfTheSamePathThatFitAreMerged) {
  v1::GetCatalogResponse catalog;
  for (const char* name : {"one", "two"}) {
    Manifest manifest;
    manifest.set_name(name);
    manifest.set_version("1.0");
    manifest.add_serves(std::string(name) + ".Service");
    google::protobuf::FileDescriptorProto* file = manifest.add_file();
    file->set_name("service.proto");
    file->set_package(name);
    file->add_message_type()->set_name("Empty");
    google::protobuf::ServiceDescriptorProto* service = file->add_service();
    service->set_name("Service");
    google::protobuf::MethodDescriptorProto* method = service->add_method();
    method->set_name("Do");
    method->set_input_type("." + std::string(name) + ".Empty");
    method->set_output_type("." + std::string(name) + ".Empty");
    catalog.add_manifests(manifest.SerializeAsString());
  }
  auto described = describe_remote(kAddress, {"one.Service", "two.Service"}, {}, &catalog);
  ASSERT_TRUE(described.ok()) << described.status().message();
  EXPECT_NE((*described)->descriptors->service("one.Service"), nullptr);
  EXPECT_NE((*described)->descriptors->service("two.Service"), nullptr);
  EXPECT_EQ((*described)->manifest().version(), "1.0");
}

TEST(RemoteCatalog, OfNonsenseIsRefused) {
  v1::GetCatalogResponse catalog;
  catalog.add_manifests("\xff\xff");
  EXPECT_EQ(describe_remote(kAddress, {kEcho}, {}, &catalog).status().code(),
            IMCTL_FAILED_PRECONDITION);
}

TEST(RemoteCache, KeepsOneFileAnAddress) {
  TemporaryFolder folder;
  std::string below = folder.path() + "/data/host/remote";
  RemoteCache cache(below, kAddress);
  RemoteCache other(below, "grpc://there_50051");
  EXPECT_FALSE(cache.load());
  v1::GetCatalogResponse catalog;
  catalog.set_digest("digest");
  catalog.add_manifests("manifest");
  cache.store(catalog);
  ASSERT_TRUE(cache.load());
  EXPECT_EQ(cache.load()->digest(), "digest");
  EXPECT_FALSE(other.load());
  struct stat info {};
  ASSERT_EQ(stat((folder.path() + "/data").c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 0077, 0u);
  for (const auto& file : std::filesystem::directory_iterator(below)) {
    std::ofstream(file.path()) << "\xff\xff";
  }
  EXPECT_FALSE(cache.load());
  RemoteCache nowhere("", kAddress);
  nowhere.store(catalog);
  EXPECT_FALSE(nowhere.load());
}

// One host here, and another that it is bound to; both in this process.
class RemoteCallsTest : public ::testing::Test {
 protected:
  void SetUp() override {
    ASSERT_TRUE(there.status.ok()) << there.status.message();
    Result<std::unique_ptr<FrontEnd>> started = FrontEnd::start(*there.host);
    ASSERT_TRUE(started.ok()) << started.status().message();
    front_end = std::move(*started);
    HostOptions options;
    options.set = {"host.data=" + folder.path() + "/data", "host.module_path=" + folder.path(),
                   "host.listen=none", "host.stop_timeout=500ms",
                   "bind." + std::string(kEcho) + "=grpc://" + front_end->addresses()[0]};
    options.quiet = true;
    options.remote_hosts = make_remote_hosts();
    Result<std::unique_ptr<Host>> opened = Host::open(options);
    ASSERT_TRUE(opened.ok()) << opened.status().message();
    here = std::move(*opened);
  }
  void TearDown() override {
    if (here != nullptr) (void)here->stop();
    close_there();
  }
  void close_there() {
    if (front_end == nullptr) return;
    front_end->close(std::chrono::system_clock::now());
    (void)there.host->stop();
    front_end.reset();
  }
  static std::string text(const std::string& what) {
    Payload payload;
    payload.set_text(what);
    return payload.SerializeAsString();
  }
  static std::string echo(const char* method) { return std::string("/") + kEcho + "/" + method; }

  InProcess there{"echo", {"host.auth=none", "host.listen=127.0.0.1:0"}};
  std::unique_ptr<FrontEnd> front_end;
  TemporaryFolder folder;
  std::unique_ptr<Host> here;
};

TEST_F(RemoteCallsTest, UnaryAndStreams) {
  TestCall unary(*here, echo("Unary"), text("hello"));
  ASSERT_TRUE(unary.wait().ok()) << unary.wait().message();
  EXPECT_EQ(unary.reply(), text("hello"));
  TestCall chat(*here, echo("Chat"), "", true);
  for (int i = 0; i < 100; ++i) {
    ASSERT_TRUE(chat.write(text(std::to_string(i))));
    EXPECT_EQ(chat.read(), text(std::to_string(i)));
  }
  chat.writes_done();
  EXPECT_EQ(chat.read(), std::nullopt);
  EXPECT_TRUE(chat.wait().ok()) << chat.wait().message();
}

TEST_F(RemoteCallsTest, CancelledAtAnyMoment) {
  for (int i = 0; i < 200; ++i) {
    TestCall chat(*here, echo("Chat"), "", true);
    TestCall hang(*here, echo("Hang"), text(""));
    TestCall source(*here, echo("Source"), text(""));
    if (i % 2 == 0) (void)source.read();
    if (i % 3 == 0) (void)chat.write(text("x"));
    // Their ends cancel them and wait.
  }
  EXPECT_TRUE(TestCall(*here, echo("Unary"), text("")).wait().ok());
}

TEST_F(RemoteCallsTest, StopsWithCallsInWork) {
  TestCall hang(*here, echo("Hang"), text(""));
  TestCall source(*here, echo("Source"), text(""));
  ASSERT_TRUE(source.read());
  (void)here->stop();
  EXPECT_EQ(hang.wait().code(), IMCTL_UNAVAILABLE);
  EXPECT_EQ(source.wait().code(), IMCTL_UNAVAILABLE);
}

// What modules resolve as "/package.Service/Method@grpc://HOST:PORT".
TEST_F(RemoteCallsTest, AtAnAddress) {
  InProcess third{"echo", {"host.auth=none", "host.listen=127.0.0.1:0"}};
  Result<std::unique_ptr<FrontEnd>> listens = FrontEnd::start(*third.host);
  ASSERT_TRUE(listens.ok()) << listens.status().message();
  const std::string address = "@grpc://" + (*listens)->addresses()[0];
  {
    TestCall unary(*here, echo("Unary") + address, text("hello"));
    ASSERT_TRUE(unary.wait().ok()) << unary.wait().message();
    EXPECT_EQ(unary.reply(), text("hello"));
    TestCall chat(*here, echo("Chat") + address, "", true);
    ASSERT_TRUE(chat.write(text("1")));
    EXPECT_EQ(chat.read(), text("1"));
    // It is not the one that the service is bound to.
    MethodSlot* there_slot = there.host->methods().slot(echo("Unary"));
    MethodSlot* third_slot = third.host->methods().slot(echo("Unary"));
    EXPECT_EQ(there_slot->ended(IMCTL_OK), 0U);
    EXPECT_EQ(third_slot->ended(IMCTL_OK), 1U);
  }
  // Such a name is nobody's but a module's.
  EXPECT_EQ(here->methods().find_public(echo("Unary") + address), nullptr);
  EXPECT_NE(here->methods().find_public(echo("Unary")), nullptr);
  (*listens)->close(std::chrono::system_clock::now());
  (void)third.host->stop();
  listens->reset();  // its connections too
  TestCall gone(*here, echo("Unary") + address, text("hello"));
  EXPECT_EQ(gone.wait().code(), IMCTL_UNAVAILABLE);
  EXPECT_NE(gone.wait().message().find("cannot be reached"), std::string::npos) << gone.wait().message();
}

TEST_F(RemoteCallsTest, AtNoAddress) {
  for (const auto& [name, words] : std::vector<std::pair<std::string, std::string>>{
           {echo("Unary") + "@grpc://nowhere", "is not grpc://HOST:PORT"},
           {"/no.such.Service/Method@grpc://127.0.0.1:1", "no module of this host serves"}}) {
    TestCall call(*here, name, text("hello"));
    EXPECT_EQ(call.wait().code(), IMCTL_UNIMPLEMENTED) << name;
    EXPECT_NE(call.wait().message().find(words), std::string::npos) << call.wait().message();
  }
}

TEST_F(RemoteCallsTest, AtAnAddressStopsWithCallsInWork) {
  const std::string address = "@grpc://" + front_end->addresses()[0];
  TestCall hang(*here, echo("Hang") + address, text(""));
  TestCall source(*here, echo("Source") + address, text(""));
  ASSERT_TRUE(source.read());
  (void)here->stop();
  EXPECT_EQ(hang.wait().code(), IMCTL_UNAVAILABLE);
  EXPECT_EQ(source.wait().code(), IMCTL_UNAVAILABLE);
}

TEST_F(RemoteCallsTest, GoneHostIsUnavailableInWords) {
  close_there();
  TestCall unary(*here, echo("Unary"), text("hello"));
  Status status = unary.wait();
  EXPECT_EQ(status.code(), IMCTL_UNAVAILABLE);
  EXPECT_NE(status.message().find("cannot be reached"), std::string::npos) << status.message();
  EXPECT_FALSE(status.details().empty());  // when to try again
}

}  // namespace
}  // namespace imctl::host
