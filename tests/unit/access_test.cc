// Who may call what: tokens, certificates, roles, what is one's own; and what becomes of open
// streams when that changes.
#include <gtest/gtest.h>

#include <chrono>
#include <condition_variable>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "core/access_rules.h"
#include "core/owner_field.h"
#include "doorman.pb.h"
#include "in_process.h"

namespace imctl::host {
namespace {

namespace doorman = imctl::test::doorman::v1;

constexpr const char* kDoors = "/imctl.test.doorman.v1.Doors/";

class AccessTest : public ::testing::Test {
 protected:
  void SetUp() override {
    ASSERT_TRUE(in_process.status.ok()) << in_process.status.message();
    await_watching(true);
  }

  Host& host() { return *in_process.host; }

  void await_watching(bool watching) {
    // Nothing tells the test; the host's own look is what it waits for.
    while (host().access().facts().watching != watching) std::this_thread::yield();
  }

  template <class Request>
  Status admin(const std::string& method, const Request& request) {
    TestCall call(host(), "/imctl.test.doorman.v1.Book/" + method, request.SerializeAsString());
    return call.wait();
  }
  void know(const doorman::Guest& guest) { ASSERT_TRUE(admin("Set", guest).ok()); }
  void watching(bool up) {
    doorman::Up request;
    request.set_up(up);
    ASSERT_TRUE(admin("Watching", request).ok());
    await_watching(up);
  }
  static doorman::Guest ann() {
    doorman::Guest guest;
    guest.set_token("ann-token");
    guest.set_user("ann@localhost");
    return guest;
  }
  doorman::Count asked() {
    TestCall call(host(), "/imctl.test.doorman.v1.Book/Asked", "");
    EXPECT_TRUE(call.wait().ok());
    doorman::Count count;
    EXPECT_TRUE(count.ParseFromString(call.reply()));
    return count;
  }

  static CallParams with_token(const std::string& token) {
    CallParams params;
    params.peer = "ipv4:192.0.2.1:4711";
    params.token = token;
    return params;
  }
  static CallParams with_certificate(const std::string& user) {
    CallParams params = with_token("");
    params.certified_user = user;
    return params;
  }
  std::unique_ptr<TestCall> start(const std::string& door, CallParams params,
                                  const std::string& owner = {}) {
    doorman::Owned request;
    request.set_owner(owner);
    return std::make_unique<TestCall>(host(), kDoors + door, request.SerializeAsString(), false,
                                      std::move(params));
  }
  Status enter(const std::string& door, CallParams params, const std::string& owner = {}) {
    return start(door, std::move(params), owner)->wait();
  }
  imctl_code code(const std::string& door, CallParams params, const std::string& owner = {}) {
    return enter(door, std::move(params), owner).code();
  }

  InProcess in_process{
      "doorman", {"doorman.isolate=no", "roles.sweeper=imctl.test.doorman.v1.Doors/Admin, x.Y/Z"}};
};

TEST_F(AccessTest, ATokenIsLookedAtOnceAndKept) {
  know(ann());
  auto call = start("User", with_token("ann-token"));
  ASSERT_TRUE(call->wait().ok());
  doorman::Seen seen;
  ASSERT_TRUE(seen.ParseFromString(call->reply()));
  EXPECT_EQ(seen.principal(), "ann@localhost");
  EXPECT_EQ(seen.kind(), IMCTL_PRINCIPAL_USER);
  EXPECT_EQ(seen.credential(), "c-ann-token");
  EXPECT_EQ(seen.authorization(), "");
  for (int i = 0; i < 10; ++i) EXPECT_EQ(code("User", with_token("ann-token")), IMCTL_OK);
  EXPECT_EQ(asked().authenticate(), 1);
}

TEST_F(AccessTest, EachDoorToEachCaller) {
  doorman::Guest guest = ann();
  know(guest);
  guest.set_token("sweeper-token");
  guest.set_user("sue@localhost");
  guest.add_roles("sweeper");
  know(guest);
  guest.set_token("chief-token");
  guest.set_user("chief@localhost");
  guest.clear_roles();
  guest.add_roles("admin");
  know(guest);
  CallParams nobody = with_token("");
  CallParams node = with_token("");
  node.principal_kind = IMCTL_PRINCIPAL_NODE;
  node.principal = node.node = "n1";

  struct Case {
    const char* name;
    CallParams params;
    // Admin, User, Self (own), Self (another's), Node, Public
    std::vector<imctl_code> codes;
  };
  constexpr imctl_code ok = IMCTL_OK, no = IMCTL_PERMISSION_DENIED, who = IMCTL_UNAUTHENTICATED;
  for (const Case& one : std::vector<Case>{
           {"nobody", nobody, {who, who, who, who, who, ok}},
           {"a stranger", with_token("strange"), {who, who, who, who, who, who}},
           {"a user", with_token("ann-token"), {no, ok, ok, no, no, ok}},
           {"a user with a role", with_token("sweeper-token"), {ok, ok, no, no, no, ok}},
           {"a user with the role admin", with_token("chief-token"), {ok, ok, ok, ok, ok, ok}},
           {"a node", node, {no, ok, no, no, ok, ok}},
           {"an administrator", CallParams(), {ok, ok, ok, ok, ok, ok}},
       }) {
    const std::vector<std::pair<const char*, const char*>> doors = {
        {"Admin", ""}, {"User", ""},  {"Self", "ann@localhost"}, {"Self", "bob@localhost"},
        {"Node", ""},  {"Public", ""}};
    for (size_t i = 0; i < doors.size(); ++i) {
      EXPECT_EQ(code(doors[i].first, one.params, doors[i].second), one.codes[i])
          << one.name << " at " << doors[i].first << " " << doors[i].second;
    }
  }
}

TEST_F(AccessTest, OwnMeansTheSameUser) {
  know(ann());
  EXPECT_EQ(code("Self", with_token("ann-token"), "ann@localhost"), IMCTL_OK);
  for (const char* owner : {"", "ann", "an", "ann@", "@localhost", "ann@example.org",
                            "Ann@localhost", "ann@localhost/phone", "ann@localhost ", "bob"}) {
    EXPECT_EQ(code("Self", with_token("ann-token"), owner), IMCTL_PERMISSION_DENIED) << owner;
  }
  auto raw = [&](const std::string& bytes) {
    return TestCall(host(), std::string(kDoors) + "Self", bytes, false, with_token("ann-token"))
        .wait()
        .code();
  };
  const std::string own =
      "\x12\x0d"
      "ann@localhost";
  const std::string others =
      "\x12\x0d"
      "bob@localhost";
  EXPECT_EQ(raw(own), IMCTL_OK);
  // The last of several counts, as for the module.
  EXPECT_EQ(raw(others + own), IMCTL_OK);
  EXPECT_EQ(raw(own + others), IMCTL_PERMISSION_DENIED);
  // In a field of another type it is none.
  EXPECT_EQ(raw("\x10\x01"), IMCTL_PERMISSION_DENIED);
  EXPECT_EQ(raw(own + "\x13" + others + "\x14"), IMCTL_OK);  // in a group, which is unknown
  EXPECT_EQ(raw(own + "\x12"), IMCTL_INVALID_ARGUMENT);
  EXPECT_EQ(raw(own + "\x12\xff\xff\xff\xff\x0f"), IMCTL_INVALID_ARGUMENT);
  EXPECT_EQ(raw(own + "\x0c"), IMCTL_INVALID_ARGUMENT);
}

TEST_F(AccessTest, AScopeBoundsWhatATokenIsFor) {
  doorman::Guest guest = ann();
  guest.add_roles("admin");
  guest.add_scope("imctl.test.doorman.v1.Doors/Us*");
  know(guest);
  EXPECT_EQ(code("User", with_token("ann-token")), IMCTL_OK);
  EXPECT_EQ(code("Admin", with_token("ann-token")), IMCTL_PERMISSION_DENIED);
  EXPECT_EQ(code("Self", with_token("ann-token"), "ann"), IMCTL_PERMISSION_DENIED);
  EXPECT_EQ(code("Public", with_token("ann-token")), IMCTL_OK);
}

TEST_F(AccessTest, WhatAModuleCallsForAUserIsTheUsersCall) {
  know(ann());
  EXPECT_EQ(code("Through", with_token("ann-token")), IMCTL_PERMISSION_DENIED);
  doorman::Guest guest = ann();
  guest.add_roles("sweeper");
  know(guest);
  auto call = start("Through", with_token("ann-token"));
  ASSERT_TRUE(call->wait().ok());
  doorman::Seen seen;
  ASSERT_TRUE(seen.ParseFromString(call->reply()));
  EXPECT_EQ(seen.principal(), "ann@localhost");
}

TEST_F(AccessTest, ARevokedTokenLosesItsStreamsAndIsRefused) {
  know(ann());
  doorman::Guest other = ann();
  other.set_token("other-token");
  other.set_user("bob@localhost");
  know(other);
  auto stream = start("StayUser", with_token("ann-token"));
  auto own = start("StaySelf", with_token("ann-token"), "ann@localhost");
  auto untouched = start("StayUser", with_token("other-token"));
  ASSERT_TRUE(stream->read().has_value());
  ASSERT_TRUE(own->read().has_value());
  ASSERT_TRUE(untouched->read().has_value());
  EXPECT_EQ(host().access().facts().streams, 3);
  doorman::Guest revoked = ann();
  revoked.set_refused(IMCTL_UNAUTHENTICATED);
  know(revoked);
  EXPECT_EQ(stream->wait().code(), IMCTL_UNAUTHENTICATED);
  EXPECT_EQ(own->wait().code(), IMCTL_UNAUTHENTICATED);
  EXPECT_EQ(code("User", with_token("ann-token")), IMCTL_UNAUTHENTICATED);
  EXPECT_FALSE(untouched->finished());
  EXPECT_EQ(code("User", with_token("other-token")), IMCTL_OK);
}

TEST_F(AccessTest, ARoleThatIsTakenAwayTakesItsStreams) {
  doorman::Guest guest = ann();
  guest.add_roles("admin");
  know(guest);
  auto admin_stream = start("StayAdmin", with_token("ann-token"));
  auto user_stream = start("StayUser", with_token("ann-token"));
  auto own_stream = start("StaySelf", with_token("ann-token"), "ann@localhost");
  ASSERT_TRUE(admin_stream->read().has_value());
  ASSERT_TRUE(user_stream->read().has_value());
  ASSERT_TRUE(own_stream->read().has_value());
  auto others_stream = start("StaySelf", with_token("ann-token"), "bob@localhost");
  ASSERT_TRUE(others_stream->read().has_value());
  know(ann());
  EXPECT_EQ(others_stream->wait().code(), IMCTL_PERMISSION_DENIED);
  EXPECT_EQ(admin_stream->wait().code(), IMCTL_PERMISSION_DENIED);
  EXPECT_EQ(code("User", with_token("ann-token")), IMCTL_OK);
  EXPECT_FALSE(user_stream->finished());
  EXPECT_FALSE(own_stream->finished());
}

TEST_F(AccessTest, AnExpiredTokenLosesItsStreams) {
  doorman::Guest guest = ann();
  const auto ends = std::chrono::system_clock::now() + std::chrono::milliseconds(500);
  const auto since = std::chrono::duration_cast<std::chrono::nanoseconds>(ends.time_since_epoch());
  guest.mutable_expires()->set_seconds(since.count() / 1'000'000'000);
  guest.mutable_expires()->set_nanos(static_cast<int32_t>(since.count() % 1'000'000'000));
  know(guest);
  auto stream = start("StayUser", with_token("ann-token"));
  ASSERT_TRUE(stream->read().has_value());
  EXPECT_EQ(stream->wait().code(), IMCTL_UNAUTHENTICATED);
  EXPECT_GE(std::chrono::system_clock::now(), ends);
}

TEST_F(AccessTest, WithoutAWatchNothingIsBelievedTwice) {
  know(ann());
  auto stream = start("StayUser", with_token("ann-token"));
  ASSERT_TRUE(stream->read().has_value());
  watching(false);
  const uint64_t before = asked().authenticate();
  for (int i = 0; i < 5; ++i) EXPECT_EQ(code("User", with_token("ann-token")), IMCTL_OK);
  EXPECT_EQ(asked().authenticate(), before + 5);
  // Nobody hears of it until the watch is back; then the stream is looked at again.
  doorman::Guest revoked = ann();
  revoked.set_refused(IMCTL_UNAUTHENTICATED);
  know(revoked);
  EXPECT_FALSE(stream->finished());
  watching(true);
  EXPECT_EQ(stream->wait().code(), IMCTL_UNAUTHENTICATED);
}

TEST_F(AccessTest, WhatCannotBeKnownIsUnavailableAndEndsNothing) {
  know(ann());
  auto stream = start("StayUser", with_token("ann-token"));
  ASSERT_TRUE(stream->read().has_value());
  doorman::Guest gone = ann();
  gone.set_refused(IMCTL_UNAVAILABLE);
  know(gone);
  Status status = enter("User", with_token("ann-token"));
  EXPECT_EQ(status.code(), IMCTL_UNAVAILABLE);
  EXPECT_NE(status.message().find("cannot be known"), std::string::npos) << status.message();
  EXPECT_FALSE(stream->finished());
  know(ann());
  EXPECT_EQ(code("User", with_token("ann-token")), IMCTL_OK);
}

TEST_F(AccessTest, CertificatesNameUsersWhoAreLookedUp) {
  EXPECT_EQ(code("User", with_certificate("ann@localhost")), IMCTL_UNAUTHENTICATED);
  doorman::Guest guest;
  guest.set_name("ann@localhost");
  guest.set_user("ann@localhost");
  know(guest);
  EXPECT_EQ(code("User", with_certificate("ann@localhost")), IMCTL_OK);
  EXPECT_EQ(code("Self", with_certificate("ann@localhost"), "ann@localhost"), IMCTL_OK);
  guest.set_refused(IMCTL_PERMISSION_DENIED);
  know(guest);
  EXPECT_EQ(code("User", with_certificate("ann@localhost")), IMCTL_PERMISSION_DENIED);
}

TEST_F(AccessTest, RolesChangeWhileTheHostRuns) {
  doorman::Guest guest = ann();
  guest.add_roles("helper");
  know(guest);
  EXPECT_EQ(code("Admin", with_token("ann-token")), IMCTL_PERMISSION_DENIED);
  SettingsAdmin& settings = host().settings_admin();
  auto changed = settings.set("roles.helper", {"imctl.test.doorman.v1.Doors/*"}, {"test"});
  ASSERT_TRUE(changed.ok()) << changed.status().message();
  ASSERT_EQ(changed->size(), 1);
  EXPECT_EQ(changed->front().state, "applied");
  EXPECT_EQ(code("Admin", with_token("ann-token")), IMCTL_OK);
  auto stream = start("StayAdmin", with_token("ann-token"));
  ASSERT_TRUE(stream->read().has_value());
  changed = settings.unset("roles.helper", {"test"});
  ASSERT_TRUE(changed.ok()) << changed.status().message();
  EXPECT_EQ(stream->wait().code(), IMCTL_PERMISSION_DENIED);
  EXPECT_EQ(code("Admin", with_token("ann-token")), IMCTL_PERMISSION_DENIED);
  EXPECT_EQ(settings.set("roles.helper", {"not a glob"}, {"test"}).status().code(),
            IMCTL_INVALID_ARGUMENT);
  EXPECT_EQ(settings.set("roles.admin", {"x.Y/Z"}, {"test"}).status().code(),
            IMCTL_INVALID_ARGUMENT);
}

// Answers when the test says so.
class SlowAuthenticator final : public AccessControl::Authenticator {
 public:
  void ask(const AccessControl::Question& question,
           std::function<void(Result<Person>)> answer) override {
    std::lock_guard lock(mutex_);
    asked_.push_back(question.token);
    answers_.push_back(std::move(answer));
  }
  void modules_changed() override {}
  size_t waiting() {
    std::lock_guard lock(mutex_);
    return answers_.size();
  }
  void answer(const Result<Person>& person) {
    std::function<void(Result<Person>)> first;
    {
      std::lock_guard lock(mutex_);
      ASSERT_FALSE(answers_.empty());
      first = std::move(answers_.front());
      answers_.erase(answers_.begin());
    }
    first(person);
  }

 private:
  std::mutex mutex_;
  std::vector<std::string> asked_;
  std::vector<std::function<void(Result<Person>)>> answers_;
};

class SlowAccessTest : public AccessTest {
 protected:
  void SetUp() override {
    AccessTest::SetUp();
    host().access().set_authenticator(slow);
  }
  void TearDown() override { host().access().set_authenticator(nullptr); }

  std::shared_ptr<SlowAuthenticator> slow = std::make_shared<SlowAuthenticator>();
  const Person person{"ann@localhost", {}, {}, std::nullopt, "c1"};
};

// A stream ends when the credential does as it was told last.
TEST_F(SlowAccessTest, AnEndThatIsMovedIsTheOneThatCounts) {
  Person soon = person;
  soon.ends = std::chrono::system_clock::now() + std::chrono::hours(1);
  auto stream = start("StayUser", with_token("t"));
  slow->answer(soon);
  ASSERT_TRUE(stream->read().has_value());
  host().access().user_changed("ann@localhost");
  ASSERT_EQ(slow->waiting(), 1);
  soon.ends = std::chrono::system_clock::now() + std::chrono::milliseconds(50);
  slow->answer(soon);
  EXPECT_EQ(stream->wait().code(), IMCTL_UNAUTHENTICATED);
}

TEST_F(SlowAccessTest, ManyCallsAskOnce) {
  const int64_t before = host().in_flight();
  std::vector<std::unique_ptr<TestCall>> calls;
  for (int i = 0; i < 20; ++i) calls.push_back(start("User", with_token("t")));
  EXPECT_EQ(slow->waiting(), 1);
  EXPECT_EQ(host().access().facts().waiting, 20);
  slow->answer(person);
  for (const auto& call : calls) EXPECT_TRUE(call->wait().ok());
  EXPECT_EQ(host().access().facts().waiting, 0);
  EXPECT_EQ(host().in_flight(), before);
}

TEST_F(SlowAccessTest, ACallThatWaitsMayBeCancelledAndHasItsDeadline) {
  auto cancelled = start("User", with_token("t"));
  CallParams params = with_token("t");
  params.deadline = monotonic_now() + 20'000'000;
  auto late = start("User", std::move(params));
  cancelled->cancel();
  EXPECT_EQ(cancelled->wait().code(), IMCTL_CANCELLED);
  EXPECT_EQ(late->wait().code(), IMCTL_DEADLINE_EXCEEDED);
  slow->answer(person);
  EXPECT_EQ(code("User", with_token("t")), IMCTL_OK);
}

TEST_F(SlowAccessTest, AnAnswerOlderThanAChangeLetsNobodyIn) {
  auto first = start("StayUser", with_token("t"));
  host().access().user_changed("ann@localhost");
  slow->answer(person);
  // It is asked once more.
  ASSERT_EQ(slow->waiting(), 1);
  slow->answer(Status(IMCTL_UNAUTHENTICATED, "revoked"));
  EXPECT_EQ(first->wait().code(), IMCTL_UNAUTHENTICATED);
  // A change of somebody else's does not matter.
  auto second = start("User", with_token("t"));
  host().access().user_changed("bob@localhost");
  host().access().credential_changed("c2");
  slow->answer(person);
  EXPECT_TRUE(second->wait().ok());
  EXPECT_EQ(code("User", with_token("t")), IMCTL_OK);
  EXPECT_EQ(slow->waiting(), 0);
  host().access().credential_changed("c1");
  auto third = start("User", with_token("t"));
  EXPECT_EQ(slow->waiting(), 1);
  slow->answer(person);
  EXPECT_TRUE(third->wait().ok());
}

// The module that knows users answered that somebody lost a right, and its watch has not told it yet.
TEST_F(SlowAccessTest, ADoubtLetsNobodyInByWhatWasAskedBefore) {
  auto first = start("User", with_token("t"));
  slow->answer(person);
  EXPECT_TRUE(first->wait().ok());
  host().access().doubt_all();
  auto second = start("User", with_token("t"));
  ASSERT_EQ(slow->waiting(), 1);
  // Neither by an answer that was on its way.
  host().access().doubt_all();
  slow->answer(person);
  ASSERT_EQ(slow->waiting(), 1);
  slow->answer(Status(IMCTL_UNAUTHENTICATED, "revoked"));
  EXPECT_EQ(second->wait().code(), IMCTL_UNAUTHENTICATED);
}

TEST_F(SlowAccessTest, AChangeWhileItIsAskedForAStreamIsAskedForOnceMore) {
  auto stream = start("StayUser", with_token("t"));
  slow->answer(person);
  ASSERT_TRUE(stream->read().has_value());
  host().access().user_changed("ann@localhost");
  ASSERT_EQ(slow->waiting(), 1);
  host().access().user_changed("ann@localhost");
  ASSERT_EQ(slow->waiting(), 1);
  slow->answer(person);
  ASSERT_EQ(slow->waiting(), 1);
  slow->answer(Status(IMCTL_UNAUTHENTICATED, "revoked"));
  EXPECT_EQ(stream->wait().code(), IMCTL_UNAUTHENTICATED);
}

TEST(AccessRules, WhomCertificatesStandFor) {
  AccessRules rules;
  rules.certificates["db1.example.org"] = {IMCTL_PRINCIPAL_NODE, "db1"};
  rules.certificates["lost.example.org"] = {};
  using Names = std::vector<std::string>;
  auto kind = [&](const Names& uris, const Names& names = {}) {
    return rules.find(uris, names).kind;
  };
  EXPECT_EQ(kind({}), IMCTL_PRINCIPAL_NONE);
  EXPECT_EQ(kind({}, {"somebody"}), IMCTL_PRINCIPAL_NONE);
  EXPECT_EQ(rules.find({}, {"x", "db1.example.org"}).name, "db1");
  EXPECT_EQ(kind({"imctl://admin/root"}, {"lost.example.org"}), IMCTL_PRINCIPAL_NONE);
  // A name is no URI, and of two URIs nobody knows which is meant.
  EXPECT_EQ(kind({}, {"imctl://admin/root"}), IMCTL_PRINCIPAL_NONE);
  EXPECT_EQ(kind({"imctl://user/ann@example.org", "imctl://admin/root"}), IMCTL_PRINCIPAL_NONE);
  EXPECT_EQ(kind({"https://example.org", "imctl://admin/root"}), IMCTL_PRINCIPAL_ADMIN);
  EXPECT_EQ(rules.find({"imctl://user/ann@example.org"}, {}).name, "ann@example.org");
  EXPECT_EQ(kind({"imctl://user/ann@example.org"}), IMCTL_PRINCIPAL_USER);
  EXPECT_EQ(kind({"imctl://node/"}), IMCTL_PRINCIPAL_NONE);
  EXPECT_EQ(kind({"imctl://king/ann"}), IMCTL_PRINCIPAL_NONE);
}

TEST(AccessRules, Globs) {
  EXPECT_TRUE(stands_for("*", "/a.B/C"));
  EXPECT_TRUE(stands_for("a.B/*", "/a.B/C"));
  EXPECT_TRUE(stands_for("/a.B/C", "/a.B/C"));
  EXPECT_FALSE(stands_for("a.B/C", "/a.B/CC"));
  EXPECT_FALSE(stands_for("a.B/*", "/xa.B/C"));
  EXPECT_FALSE(stands_for("", "/a.B/C"));
}

}  // namespace
}  // namespace imctl::host
