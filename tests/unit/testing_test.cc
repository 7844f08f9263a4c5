// <imctl/testing.h>, as module writers use it.
#include "imctl/testing.h"

#include <gtest/gtest.h>
#include <stdlib.h>

#include <filesystem>
#include <string>

#include "echo.pb.h"
#include "keeper.pb.h"

namespace imctl::testing {
namespace {

namespace echo = imctl::test::echo::v1;
namespace keeper = imctl::test::keeper::v1;

const std::string kEcho = IMCTL_TEST_MODULES "/echo.so";
const std::string kKeeper = IMCTL_TEST_MODULES "/keeper.so";

echo::Payload payload(const std::string& text) {
  echo::Payload made;
  made.set_text(text);
  return made;
}

// A record as the storage has it: field 1 the collection or, in an answer, the key.
Result<std::string> ask_storage(Host& host, const std::string& method, const std::string& request) {
  keeper::CallRequest call;
  call.set_method("/imctl.storage.v1.Records/" + method);
  call.set_request(request);
  auto reply = host.call<keeper::CallReply>("/imctl.test.keeper.v1.Keeper/Call", call);
  if (!reply.ok()) return reply.status();
  return reply->reply();
}
Status put(Host& host) {
  return ask_storage(host, "Put",
                     "\x0a\x01"
                     "c\x12\x01k\x1a\x01v")
      .status();
}
Result<std::string> get(Host& host) {
  return ask_storage(host, "Get",
                     "\x0a\x01"
                     "c\x12\x01k");
}

TEST(TestHost, CallsAsWhomTheTestLikes) {
  Host host(kEcho);
  auto seen = host.call<echo::Seen>("/imctl.test.echo.v1.Echo/Context", payload(""));
  ASSERT_TRUE(seen.ok()) << seen.status().message();
  EXPECT_EQ(seen->principal_kind(), IMCTL_PRINCIPAL_ADMIN);
  EXPECT_TRUE(seen->has_deadline());
  imctl_metadata metadata{to_str("x-test"), to_str("abc")};
  seen = host.call<echo::Seen>("/imctl.test.echo.v1.Echo/Context", payload(""),
                               {.dry_run = true, .metadata = {metadata}});
  ASSERT_TRUE(seen.ok()) << seen.status().message();
  EXPECT_TRUE(seen->dry_run());
  EXPECT_EQ(seen->metadata(), "abc");
  // For administrators, since its .proto says nothing else.
  auto refused = host.call<echo::Seen>("/imctl.test.echo.v1.Echo/Context", payload(""),
                                       as_user("ann@example.org"));
  EXPECT_EQ(refused.status().code(), IMCTL_PERMISSION_DENIED) << refused.status().message();
}

TEST(TestHost, StreamsAndTrailers) {
  Host host(kEcho);
  auto chat = host.stream<echo::Payload, echo::Payload>("/imctl.test.echo.v1.Echo/Chat");
  EXPECT_TRUE(chat.write(payload("one")));
  EXPECT_EQ(chat.read()->text(), "one");
  chat.writes_done();
  EXPECT_FALSE(chat.read());
  EXPECT_TRUE(chat.finish().ok());
  EXPECT_FALSE(chat.write(payload("late")));

  auto endless = host.server_stream<echo::Payload>("/imctl.test.echo.v1.Echo/Source", payload(""));
  EXPECT_TRUE(endless.read());
  endless.cancel();
  EXPECT_EQ(endless.finish().code(), IMCTL_CANCELLED);

  auto context = host.server_stream<echo::Seen>("/imctl.test.echo.v1.Echo/Context", payload(""));
  EXPECT_TRUE(context.reply().ok());
  EXPECT_EQ(context.trailer("x-trailer"), "seen");
}

TEST(TestHost, ADeadlineEndsWhatHangs) {
  Host host(kEcho);
  auto hangs = host.call<echo::Payload>("/imctl.test.echo.v1.Echo/Hang", payload(""),
                                        {.timeout = std::chrono::milliseconds(20)});
  EXPECT_EQ(hangs.status().code(), IMCTL_DEADLINE_EXCEEDED);
}

TEST(TestHost, AnIsolatedModuleIsTheSame) {
  Host host(kEcho, {.isolate = true});
  auto reply = host.call<echo::Payload>("/imctl.test.echo.v1.Echo/Unary", payload("hello"));
  ASSERT_TRUE(reply.ok()) << reply.status().message();
  EXPECT_EQ(reply->text(), "hello");
}

TEST(TestHost, MemoryForgetsAndAFolderDoesNot) {
  {
    Host host(kKeeper, {.store = Store::kMemory});
    ASSERT_TRUE(put(host).ok());
    EXPECT_TRUE(get(host).ok());
  }
  {
    Host host(kKeeper, {.store = Store::kMemory});
    EXPECT_EQ(get(host).status().code(), IMCTL_NOT_FOUND);
  }
  std::string folder = (std::filesystem::temp_directory_path() / "imctl-testing-XXXXXX").string();
  ASSERT_NE(mkdtemp(folder.data()), nullptr);
  const HostOptions kept{.store = Store::kSqlite, .folder = folder};
  {
    Host host(kKeeper, kept);
    ASSERT_TRUE(put(host).ok());
  }
  {
    Host host(kKeeper, kept);
    Result<std::string> record = get(host);
    ASSERT_TRUE(record.ok()) << record.status().message();
    EXPECT_NE(record->find("\x12\x01v"), std::string::npos);
    EXPECT_TRUE(host.reload("keeper").ok());
    EXPECT_TRUE(get(host).ok());
  }
  std::filesystem::remove_all(folder);
}

TEST(TestHost, SaysWhatIsWrong) {
  Host host;
  EXPECT_NE(host.open("/no/such/file.so").message().find("No such file"), std::string::npos);
  EXPECT_NE(host.open(kKeeper).message().find("requires imctl.storage.v1.Records"),
            std::string::npos);
  EXPECT_NE(host.open(kEcho, {.settings = {"echo.nothing=1"}}).message().find("nothing"),
            std::string::npos);
  ASSERT_TRUE(host.open(kEcho).ok());
  EXPECT_FALSE(host.reload("nobody").ok());
  EXPECT_FALSE(host.logged("metadata cannot carry"));
  // Its X-Upper is no name of a trailer.
  ASSERT_TRUE(host.call<echo::Seen>("/imctl.test.echo.v1.Echo/Context", payload("")).ok());
  EXPECT_TRUE(host.logged("metadata cannot carry"));
  EXPECT_TRUE(host.close().ok());
}

}  // namespace
}  // namespace imctl::testing
