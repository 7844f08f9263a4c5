// The module user in a host without gRPC: what comes with a call's metadata, and all of it at once.
#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <thread>
#include <vector>

#include "core/module_admin.h"
#include "imctl/auth/v1/authenticator.pb.h"
#include "imctl/auth/v1/login.pb.h"
#include "imctl/user/v1/tokens.pb.h"
#include "imctl/user/v1/users.pb.h"
#include "managed_host.h"

namespace imctl::host {
namespace {

namespace auth = imctl::auth::v1;
namespace v1 = imctl::user::v1;
using std::chrono::milliseconds;
using std::chrono::seconds;

constexpr char kPassword[] = "correct horse";

std::string config(const std::string& user) {
  return "[host]\nmodules = storage-sqlite, user\nmodule_path = " IMCTL_MODULES
         "\nswap_watch = 10ms\n[user]\nargon2_memory = 8KiB\nargon2_time = 1\nscram_iterations = "
         "4096\n"
         "clean_interval = 100ms\n" +
         user;
}

class Users : public testing::Test {
 protected:
  void start(const std::string& user = "") {
    managed_ = std::make_unique<ManagedHost>(config(user));
    ASSERT_TRUE(managed_->status.ok()) << managed_->status.message();
  }
  Host& host() { return *managed_->host; }

  Status add(const std::string& name) {
    v1::AddUserRequest request;
    request.set_user(name);
    request.set_password(kPassword);
    return call<v1::User>(host(), "/imctl.user.v1.Users/Add", request).status();
  }
  Result<auth::LoginResponse> login(const std::string& name, const std::string& password,
                                    const std::string& peer) {
    auth::LoginRequest request;
    request.set_user(name);
    request.set_password(password);
    CallParams params;
    if (!peer.empty()) params.metadata.emplace_back("imctl-peer", peer);
    return call<auth::LoginResponse>(host(), "/imctl.auth.v1.Login/Login", request,
                                     std::move(params));
  }
  Status check(const std::string& token) {
    auth::AuthenticateRequest request;
    request.set_token(token);
    return call<auth::Identity>(host(), "/imctl.auth.v1.Authenticator/Authenticate", request)
        .status();
  }
  // A Watch that has begun; nothing if it cannot just now.
  std::unique_ptr<TestCall> watch() {
    auto made = std::make_unique<TestCall>(host(), "/imctl.auth.v1.Authenticator/Watch", "");
    std::optional<std::string> first = made->read();
    auth::Change change;
    if (!first || !change.ParseFromString(*first) || !change.ready()) return nullptr;
    return made;
  }
  std::unique_ptr<TestCall> watch_soon() {
    const auto end = std::chrono::steady_clock::now() + seconds(30);
    while (std::chrono::steady_clock::now() < end) {
      if (auto made = watch()) return made;
      std::this_thread::sleep_for(milliseconds(10));
    }
    return nullptr;
  }

  std::unique_ptr<ManagedHost> managed_;
};

TEST_F(Users, LogoutEndsTheTokenOfItsCall) {
  start();
  ASSERT_TRUE(add("ann").ok());
  Result<auth::LoginResponse> here = login("ann", kPassword, "");
  Result<auth::LoginResponse> there = login("ann", kPassword, "");
  ASSERT_TRUE(here.ok() && there.ok());
  CallParams params;
  params.principal_kind = IMCTL_PRINCIPAL_USER;
  params.principal = "ann@localhost";
  params.metadata.emplace_back("imctl-credential", here->id());
  ASSERT_TRUE(call<auth::LogoutResponse>(host(), "/imctl.auth.v1.Login/Logout",
                                         auth::LogoutRequest(), std::move(params))
                  .ok());
  EXPECT_EQ(check(here->token()).code(), IMCTL_UNAUTHENTICATED);
  EXPECT_TRUE(check(there->token()).ok());
  CallParams without;
  without.principal_kind = IMCTL_PRINCIPAL_USER;
  without.principal = "ann@localhost";
  EXPECT_EQ(call<auth::LogoutResponse>(host(), "/imctl.auth.v1.Login/Logout", auth::LogoutRequest(),
                                       std::move(without))
                .status()
                .code(),
            IMCTL_FAILED_PRECONDITION);
}

TEST_F(Users, OneAddressThatTriesManyAccountsIsDelayed) {
  start("address_attempts = 5\n");
  ASSERT_TRUE(add("ann").ok());
  for (int i = 0; i < 5; ++i) {
    // From other ports.
    EXPECT_EQ(login("u" + std::to_string(i), "wrong", "ipv4:192.0.2.1:" + std::to_string(i))
                  .status()
                  .code(),
              IMCTL_UNAUTHENTICATED);
  }
  Status delayed = login("ann", kPassword, "ipv4:192.0.2.1:99").status();
  EXPECT_EQ(delayed.code(), IMCTL_RESOURCE_EXHAUSTED);
  EXPECT_NE(delayed.details().find("google.rpc.RetryInfo"), std::string::npos);
  EXPECT_TRUE(login("ann", kPassword, "ipv4:192.0.2.2:1").ok());
  EXPECT_TRUE(login("ann", kPassword, "unix:").ok());
}

TEST_F(Users, ALoginThatGoesWellDoesNotClearAnAddress) {
  start("address_attempts = 5\n");
  ASSERT_TRUE(add("mallory").ok());
  int tries = 0;
  while (login("u" + std::to_string(tries), "wrong", "ipv4:192.0.2.1:1").status().code() ==
         IMCTL_UNAUTHENTICATED) {
    ASSERT_LT(++tries, 100);
    (void)login("mallory", kPassword, "ipv4:192.0.2.1:1");
  }
  EXPECT_EQ(tries, 5);
}

TEST_F(Users, AWatchEndsWhenTheHostStops) {
  start();
  std::unique_ptr<TestCall> open = watch_soon();
  ASSERT_NE(open, nullptr);
  std::thread stop([&] { EXPECT_TRUE(managed_->host->stop().ok()); });
  Status status = open->wait();
  stop.join();
  EXPECT_EQ(status.code(), IMCTL_UNAVAILABLE) << status.message();
}

// Calls of all kinds, while the module and its storage are replaced.
TEST_F(Users, AllAtOnce) {
  start("login_attempts = 1000\nmax_tokens = 5\n");
  constexpr int kUsers = 4;
  for (int i = 0; i < kUsers; ++i) ASSERT_TRUE(add("u" + std::to_string(i)).ok());
  std::atomic<bool> stop{false};
  std::atomic<int> good{0};
  std::atomic<int> strange{0};
  auto note = [&](const Status& status) {
    switch (status.code()) {
      case IMCTL_OK: ++good; return;
      // What others do to the same users.
      case IMCTL_UNAUTHENTICATED:
      case IMCTL_NOT_FOUND:
      case IMCTL_ALREADY_EXISTS:
      case IMCTL_FAILED_PRECONDITION:
      case IMCTL_ABORTED:
      case IMCTL_RESOURCE_EXHAUSTED:
      case IMCTL_UNAVAILABLE: return;
      default: ++strange; ADD_FAILURE() << status.code() << ": " << status.message();
    }
  };
  std::vector<std::thread> threads;
  for (int t = 0; t < kUsers; ++t) {
    threads.emplace_back([&, t] {
      for (int i = 0; !stop; ++i) {
        const std::string name = "u" + std::to_string((t + i) % kUsers);
        Result<auth::LoginResponse> token = login(name, kPassword, "ipv4:192.0.2.1:1");
        note(token.status());
        if (token.ok()) note(check(token->token()));
        v1::SetUserRequest set;
        set.set_user(name);
        (*set.mutable_attributes())["a"] = std::to_string(i);
        note(call<v1::User>(host(), "/imctl.user.v1.Users/Set", set).status());
        if (i % 8 == t) {
          v1::DeleteUserRequest remove;
          remove.set_user(name);
          note(
              call<v1::DeleteUserResponse>(host(), "/imctl.user.v1.Users/Delete", remove).status());
          v1::AddUserRequest again;
          again.set_user(name);
          again.set_password(kPassword);
          again.set_reuse(true);
          note(call<v1::User>(host(), "/imctl.user.v1.Users/Add", again).status());
        }
        TestCall list(host(), "/imctl.user.v1.Users/List", "");
        while (list.read()) {
        }
        note(list.wait());
      }
    });
  }
  std::atomic<int> heard{0};
  threads.emplace_back([&] {
    while (!stop) {
      std::unique_ptr<TestCall> open = watch();
      if (open == nullptr) {
        std::this_thread::sleep_for(milliseconds(5));
        continue;
      }
      for (int i = 0; i < 50 && open->read(); ++i) ++heard;
    }
  });
  threads.emplace_back([&] {
    for (int i = 0; !stop; ++i) {
      TestCall import(host(), "/imctl.user.v1.Users/Import", "", true);
      v1::ImportUsersRequest line;
      line.set_line("user,password\nimported" + std::to_string(i) +
                    ",long enough\nu0,long enough\n");
      line.set_update(true);
      (void)import.write(line.SerializeAsString());
      import.writes_done();
      while (import.read()) {
      }
      if (import.wait().code() != IMCTL_INVALID_ARGUMENT) note(import.wait());
    }
  });
  for (int i = 0; i < 3; ++i) {
    for (const char* module : {"user", "storage-sqlite"}) {
      std::this_thread::sleep_for(milliseconds(300));
      auto changes = host().module_admin().reload(module, {"test"});
      EXPECT_TRUE(changes.ok()) << changes.status().message();
    }
  }
  const int before = heard;
  const auto end = std::chrono::steady_clock::now() + seconds(30);
  while (heard == before && std::chrono::steady_clock::now() < end) {
    std::this_thread::sleep_for(milliseconds(10));
  }
  stop = true;
  // The thread that watches may wait for news.
  for (int i = 0; i < 50; ++i) (void)add("news" + std::to_string(i));
  for (std::thread& thread : threads) thread.join();
  EXPECT_GT(good, 0);
  EXPECT_GT(heard, before);  // also after all that
}

}  // namespace
}  // namespace imctl::host
