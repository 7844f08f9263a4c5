// The module in a host in this process, with a storage in memory.
#include "@IDENT@.pb.h"
#include "imctl/testing.h"

namespace {

namespace v1 = @IDENT@::v1;
using imctl::Result;
using imctl::testing::Host;
using imctl::testing::Store;

const char* const kGreet = "/@IDENT@.v1.@TYPE@/Greet";

v1::GreetRequest request(const std::string& who) {
  v1::GreetRequest made;
  made.set_who(who);
  return made;
}

void counts() {
  Host host(IMCTL_TEST_MODULE, {.store = Store::kMemory});
  for (uint64_t times = 1; times <= 3; ++times) {
    Result<v1::GreetReply> reply = host.call<v1::GreetReply>(kGreet, request("Ann"));
    IMCTL_CHECK(reply.ok());
    IMCTL_CHECK(reply->text() == "Hello, Ann!");
    IMCTL_CHECK(reply->times() == times);
  }
  IMCTL_CHECK(host.call<v1::GreetReply>(kGreet, request("Bob"))->times() == 1);
}

void remembers_what_a_new_copy_of_it_is_to_know() {
  Host host(IMCTL_TEST_MODULE, {.store = Store::kMemory});
  IMCTL_CHECK(host.call<v1::GreetReply>(kGreet, request("Ann")).ok());
  IMCTL_CHECK(host.reload("@NAME@").ok());
  IMCTL_CHECK(host.call<v1::GreetReply>(kGreet, request("Ann"))->times() == 2);
}

void a_dry_run_changes_nothing() {
  Host host(IMCTL_TEST_MODULE, {.store = Store::kMemory});
  for (int i = 0; i < 2; ++i) {
    Result<v1::GreetReply> reply =
        host.call<v1::GreetReply>(kGreet, request("Ann"), {.dry_run = true});
    IMCTL_CHECK(reply.ok());
    IMCTL_CHECK(reply->times() == 1);
  }
}

void takes_its_setting() {
  Host host(IMCTL_TEST_MODULE,
            {.store = Store::kMemory, .settings = {"@NAME@.greeting=Good morning"}});
  IMCTL_CHECK(host.call<v1::GreetReply>(kGreet, request("Ann"))->text() == "Good morning, Ann!");
}

void refuses_in_words() {
  Host host(IMCTL_TEST_MODULE, {.store = Store::kMemory});
  Result<v1::GreetReply> reply = host.call<v1::GreetReply>(kGreet, request(""));
  IMCTL_CHECK(reply.status().code() == IMCTL_INVALID_ARGUMENT);
  // Who is nobody in particular may not.
  reply = host.call<v1::GreetReply>(kGreet, request("Ann"), {.kind = IMCTL_PRINCIPAL_NONE});
  IMCTL_CHECK(reply.status().code() == IMCTL_UNAUTHENTICATED);
}

}  // namespace

int main() {
  counts();
  remembers_what_a_new_copy_of_it_is_to_know();
  a_dry_run_changes_nothing();
  takes_its_setting();
  refuses_in_words();
  return 0;
}
